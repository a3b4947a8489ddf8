// A wire from a model to an input of an interrupt controller: first the model's end, which its host can cut off, then the
// controller's, where several holders meet.
import type { InterruptLine } from '../wires.ts'

/**
 * The interrupt lines of a device model. While the model is dead they are low: an edge-triggered input would otherwise see no
 * edge of the model that is alive again, and a level-triggered one would interrupt for ever.
 */
export class ModelLines {
  /** The lines that the model drives high. */
  readonly #high = new Set<{ readonly wire: InterruptLine }>()
  #isCut = false

  /** Returns the model's handle on a wire. */
  line(wire: InterruptLine): InterruptLine {
    const line = { wire }
    return {
      set: (level) => {
        if (level) this.#high.add(line)
        else this.#high.delete(line)
        if (!this.#isCut) wire.set(level)
      },
      pulse: () => {
        if (!this.#isCut) wire.pulse()
      },
    }
  }

  /** Cuts the lines off, or joins them again: the wires have the model's levels then. */
  cut(isCut: boolean): void {
    if (isCut === this.#isCut) return
    this.#isCut = isCut
    for (const { wire } of this.#high) wire.set(!isCut)
  }
}

/** Inputs of interrupt controllers, each of which several holders may drive: their levels are ORed. */
export class SharedLines {
  /** Number of drivers of each input. */
  readonly #drivers: number[] = []
  readonly #drive: (input: number, level: boolean) => void
  readonly #pulse: (input: number) => void

  /**
   * @param drive - sets the level of an input
   * @param pulse - raises an input and lowers it at once; default: calls `drive` twice
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
        // The line stays asserted by another holder, so no edge occurs.
        if (!this.isAsserted(input)) this.#pulse(input)
      },
    }
  }

  /** Whether a holder of the line asserts the input: the wire's level. */
  isAsserted(input: number): boolean {
    return (this.#drivers[input] ?? 0) > 0
  }
}
