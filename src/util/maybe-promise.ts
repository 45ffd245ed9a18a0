/** What is there already, or will be: the hot paths make a promise only where something has to be waited for. */
export type MaybePromise<T> = T | Promise<T>;

/** As `Promise.then`, at once for a value that is there. */
export function then<A, B>(value: MaybePromise<A>, use: (value: A) => MaybePromise<B>): MaybePromise<B> {
  return value instanceof Promise ? value.then(use) : use(value);
}
