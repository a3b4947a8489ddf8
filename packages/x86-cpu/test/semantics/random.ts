/** The choices that cases are made of; `Rng` of `@retrap/tooling/soak` is one. */
export interface Choice {
  u32(): number
  below(bound: number): number
  chance(numerator?: number, denominator?: number): boolean
  pick<T>(choices: readonly T[]): T
}

/** Repeatable numbers from a seed: xorshift128. */
export class Random implements Choice {
  readonly #state: Uint32Array

  constructor(seed: number) {
    this.#state = Uint32Array.of(0x9e37_79b9 ^ seed, 0x243f_6a88, 0xb7e1_5162 + seed, 0x1234_5678)
    for (let i = 0; i < 16; i++) this.u32()
  }

  u32(): number {
    const s = this.#state
    let t = s[3] as number
    const first = s[0] as number
    s[3] = s[2] as number
    s[2] = s[1] as number
    s[1] = first
    t ^= t << 11
    t ^= t >>> 8
    s[0] = t ^ first ^ (first >>> 19)
    return s[0] as number
  }

  below(bound: number): number {
    return this.u32() % bound
  }

  chance(numerator = 1, denominator = 2): boolean {
    return this.below(denominator) < numerator
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)] as T
  }
}
