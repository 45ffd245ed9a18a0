/** Pictures for people and rooms, drawn here. */
import { pngOf } from "./png.ts";

type Colour = readonly [number, number, number];

const inEllipse = (x: number, y: number, atX: number, atY: number, radiusX: number, radiusY: number): boolean =>
  ((x - atX) / radiusX) ** 2 + ((y - atY) / radiusY) ** 2 < 1;

/** Hills under a sky. */
export function hills(): Buffer {
  return pngOf(320, 200, (x, y) => {
    if (y > 120 + 30 * Math.sin(x / 40)) return [60, 110, 90];
    return y > 90 + 20 * Math.cos(x / 60) ? [70, 100, 160] : [180, 210, 250];
  });
}

/** A meerkat before a wall of this colour. */
export function portrait(wall: Colour, fur: Colour): Buffer {
  const dark: Colour = [60, 42, 30];
  return pngOf(128, 128, (x, y) => {
    if (inEllipse(x, y, 64, 78, 7, 5)) return dark;
    for (const side of [-1, 1]) {
      if (inEllipse(x, y, 64 + side * 17, 53, 3, 3)) return [255, 255, 255];
      if (inEllipse(x, y, 64 + side * 17, 54, 10, 12)) return dark;
    }
    if (inEllipse(x, y, 64, 78, 19, 16)) return [250, 236, 214];
    if (inEllipse(x, y, 64, 60, 37, 36) || inEllipse(x, y, 64, 132, 46, 40)) return fur;
    if (inEllipse(x, y, 30, 44, 12, 12) || inEllipse(x, y, 98, 44, 12, 12)) return dark;
    return wall;
  });
}

/** A plate of soup. */
export function soup(): Buffer {
  return pngOf(128, 128, (x, y) => {
    if (inEllipse(x, y, 54, 58, 7, 7) || inEllipse(x, y, 78, 70, 6, 6)) return [110, 160, 60];
    if (inEllipse(x, y, 64, 64, 33, 33)) return [232, 132, 48];
    if (inEllipse(x, y, 64, 64, 50, 50)) return [250, 248, 240];
    return [46, 92, 120];
  });
}

/** Nothing but this colour. */
export function plain(colour: Colour): Buffer {
  return pngOf(64, 64, () => colour);
}
