/** Turns after which the times of compiled code and of the interpreter are estimated anew. */
const WINDOW = 256
/** The turn after one of this many instructions is always timed; after a shorter turn one in eight is, with eightfold weight. */
const LONG_TURN = 2_000
const SHORT_TURNS = 8
/** Weight of earlier turns, relative to the present ones. */
const MEMORY = 0.02
/** Milliseconds of an instruction, to begin with. */
const INTERPRETED = 4e-6
const COMPILED = 5e-7

/**
 * How much time compiled code has taken, and how much the interpreter.
 *
 * A clock is read where a turn begins and ends, never on the way between the tiers. The time of an instruction of each is found
 * by least squares: turns differ in how many of their instructions are compiled. Devices, and other work of an instruction
 * outside generated code, count where the instruction was.
 */
export class TierTimes {
  /** Milliseconds of compiled code. */
  compiled = 0
  /** Milliseconds of the interpreter. */
  interpreted = 0
  #compiledRate = COMPILED
  #interpretedRate = INTERPRETED
  /** Counts of this window: turns, instructions, milliseconds. */
  #turns = 0
  #compiledCount = 0
  #interpretedCount = 0
  #time = 0
  /** The normal equations: sums of products, each divided by the turn's instructions, as long turns vary more. */
  #cc = 0
  #ci = 0
  #ii = 0
  #ct = 0
  #it = 0
  #isShort = false
  #shortTurns = 0

  /** Whether the turn that begins is to be timed. */
  get isDue(): boolean {
    return !this.#isShort || this.#shortTurns++ % SHORT_TURNS === 0
  }

  /** Notes the length of a turn that was not timed. */
  pass(instructions: number): void {
    this.#isShort = instructions < LONG_TURN
  }

  /**
   * Notes a timed turn.
   *
   * @param compiled - instructions of compiled code, which may be counted late: more than the turn had
   * @param time - milliseconds
   */
  note(instructions: number, compiled: number, time: number): void {
    const weight = this.#isShort ? SHORT_TURNS : 1
    this.#isShort = instructions < LONG_TURN
    if (instructions <= 0) return
    const c = Math.min(compiled, instructions)
    const i = instructions - c
    this.#compiledCount += c * weight
    this.#interpretedCount += i * weight
    this.#time += time * weight
    const scale = weight / instructions
    this.#cc += c * c * scale
    this.#ci += c * i * scale
    this.#ii += i * i * scale
    this.#ct += c * time * scale
    this.#it += i * time * scale
    if (++this.#turns === WINDOW) this.settle()
  }

  /** Shares out the time of the turns since the last time. */
  settle(): void {
    const [c, i] = [this.#compiledCount, this.#interpretedCount]
    if (c + i > 0) {
      this.#solve()
      const compiled = c * this.#compiledRate
      const share = compiled / (compiled + i * this.#interpretedRate)
      this.compiled += this.#time * share
      this.interpreted += this.#time * (1 - share)
    }
    this.#turns = 0
    this.#compiledCount = 0
    this.#interpretedCount = 0
    this.#time = 0
    this.#cc = 0
    this.#ci = 0
    this.#ii = 0
    this.#ct = 0
    this.#it = 0
  }

  /** Least squares, drawn a little to the rates before, which decide where all turns are alike. */
  #solve(): void {
    const [cc, ii] = [this.#cc * (1 + MEMORY), this.#ii * (1 + MEMORY)]
    const ct = this.#ct + this.#cc * MEMORY * this.#compiledRate
    const it = this.#it + this.#ii * MEMORY * this.#interpretedRate
    const determinant = cc * ii - this.#ci * this.#ci
    if (determinant <= 0) {
      // Only one tier has executed instructions.
      if (ii > 0) this.#interpretedRate = it / ii
      else if (cc > 0) this.#compiledRate = ct / cc
      return
    }
    const compiled = (ct * ii - it * this.#ci) / determinant
    const interpreted = (it * cc - ct * this.#ci) / determinant
    if (compiled > 0) this.#compiledRate = compiled
    if (interpreted > 0) this.#interpretedRate = interpreted
  }
}
