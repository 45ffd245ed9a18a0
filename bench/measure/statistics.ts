/** What the figures are made of: medians over rounds, and a histogram of latencies. */

/** The middle one; of an even count, the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError("no values");
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** How far the rounds lie apart: (largest − smallest) / median; 0 for a single one. */
export function spread(values: readonly number[]): number {
  const middle = median(values);
  return middle === 0 ? 0 : (Math.max(...values) - Math.min(...values)) / middle;
}

const subBits = 6;
const subCount = 1 << subBits;

/**
 * Counts non-negative integers (microseconds here) in logarithmic buckets, 64 to a power of two, so that a quantile is
 * right within 1.6 % and adding one costs a few instructions.
 */
export class Histogram {
  readonly #counts = new Float64Array((32 - subBits + 1) * subCount);
  count = 0;
  max = 0;

  add(value: number): void {
    const whole = value < 0 ? 0 : value > 0x7fffffff ? 0x7fffffff : value | 0;
    const shift = whole < subCount ? -1 : 31 - Math.clz32(whole) - subBits;
    const index = shift < 0 ? whole : (shift + 1) * subCount + ((whole >>> shift) & (subCount - 1));
    this.#counts[index]!++;
    this.count++;
    if (whole > this.max) this.max = whole;
  }

  /** The upper end of the bucket that holds this share of the values, never above the largest; 0 if there are none. */
  quantile(share: number): number {
    const wanted = Math.max(1, Math.ceil(share * this.count));
    let seen = 0;
    for (let index = 0; index < this.#counts.length; index++) {
      seen += this.#counts[index]!;
      if (seen < wanted) continue;
      const octave = index >> subBits;
      if (octave === 0) return index;
      const top = (subCount + (index & (subCount - 1)) + 1) * 2 ** (octave - 1) - 1;
      return Math.min(top, this.max);
    }
    return 0;
  }

  clear(): void {
    this.#counts.fill(0);
    this.count = 0;
    this.max = 0;
  }
}
