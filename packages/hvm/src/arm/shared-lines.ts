import type { InterruptLine } from '@retrap/device'

/** Inputs of an interrupt controller, each of which several holders may drive: their levels are ORed. */
export class SharedLines {
  readonly #drivers: number[] = []
  readonly #drive: (input: number, level: boolean) => void

  /** @param drive - sets the level of an input */
  constructor(drive: (input: number, level: boolean) => void) {
    this.#drive = drive
  }

  /** Makes a wire to an input. */
  line(input: number): InterruptLine {
    let mine = false
    const set = (level: boolean): void => {
      if (level === mine) return
      mine = level
      const before = this.#drivers[input] ?? 0
      this.#drivers[input] = before + (level ? 1 : -1)
      if (before === 0 || !level) this.#drive(input, this.#drivers[input] !== 0)
    }
    return {
      set,
      pulse: () => {
        if (mine) return
        set(true)
        set(false)
      },
    }
  }
}
