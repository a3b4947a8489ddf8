import type { InterruptLine } from '@retrap/device'

/** A wire of a model's. */
class ModelLine implements InterruptLine {
  readonly #lines: ModelLines
  readonly wire: InterruptLine

  constructor(lines: ModelLines, wire: InterruptLine) {
    this.#lines = lines
    this.wire = wire
  }

  set(level: boolean): void {
    if (this.#lines.note(this, level)) this.wire.set(level)
  }

  pulse(): void {
    if (!this.#lines.isCut) this.wire.pulse()
  }
}

/**
 * The interrupt lines of a device model. While the model is dead they are low: an edge-triggered input would otherwise see no
 * edge of the model that is alive again, and a level-triggered one would interrupt for ever.
 */
export class ModelLines {
  /** The lines that the model drives high. */
  readonly #high = new Set<ModelLine>()
  #isCut = false

  /** Whether all lines are low, whatever the model drives. */
  get isCut(): boolean {
    return this.#isCut
  }

  /** Gives a wire to the model. */
  line(wire: InterruptLine): InterruptLine {
    return new ModelLine(this, wire)
  }

  /** The model drives a line. @returns whether the wire follows */
  note(line: ModelLine, level: boolean): boolean {
    if (level) this.#high.add(line)
    else this.#high.delete(line)
    return !this.#isCut
  }

  /** Cuts the lines off, or joins them again: the wires have the model's levels then. */
  cut(isCut: boolean): void {
    if (isCut === this.#isCut) return
    this.#isCut = isCut
    for (const line of this.#high) line.wire.set(!isCut)
  }
}
