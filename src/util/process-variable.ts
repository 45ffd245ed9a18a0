/** In the environment of one of several nodes of a machine: which one it is, from 1. */
export const processVariable = "MEERKAT_PROCESS";
