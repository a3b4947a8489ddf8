import type { InterruptLine } from '../wires.ts'

/** Inputs of interrupt controllers, each of which several holders may drive: their levels are ORed. */
export class SharedLines {
  /** How many holders drive each input. */
  readonly #drivers: number[] = []
  readonly #drive: (input: number, level: boolean) => void
  readonly #pulse: (input: number) => void

  /**
   * @param drive - sets the level of an input
   * @param pulse - raises one for a moment; default by `drive`
   */
  constructor(drive: (input: number, level: boolean) => void, pulse?: (input: number) => void) {
    this.#drive = drive
    this.#pulse =
      pulse ??
      ((input) => {
        drive(input, true)
        drive(input, false)
      })
  }

  /** Makes a wire to an input. */
  line(input: number): InterruptLine {
    let mine = false
    return {
      set: (level) => {
        if (level === mine) return
        mine = level
        const before = this.#drivers[input] ?? 0
        const after = before + (level ? 1 : -1)
        this.#drivers[input] = after
        if (before === 0 || after === 0) this.#drive(input, level)
      },
      pulse: () => {
        // A holder keeps the wire up: there is no edge.
        if (!this.isAsserted(input)) this.#pulse(input)
      },
    }
  }

  /** Whether anybody asserts an input: the wire's level. */
  isAsserted(input: number): boolean {
    return (this.#drivers[input] ?? 0) > 0
  }
}
