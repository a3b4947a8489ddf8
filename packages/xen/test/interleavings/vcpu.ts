import { createIoRequest, STATUS_RETRY, IOREQ_READ, IOREQ_TYPE_COPY, IOREQ_WRITE } from '@retrap/ioreq'
import { BUFFERED } from './parties.ts'
import { Broken, FIRST_GFN, GFNS, type Call } from './witness.ts'
import type { World } from './world.ts'

/** What a processor shares with the others. */
interface Processors {
  /** By vCPU: its request has no answer yet. */
  readonly busy: boolean[]
  executing: boolean
}

/** A processor as far as the map matters to it: `Domain` does the same with real ones. */
export class Processor {
  readonly id: number
  readonly #stage: Processors
  readonly #world: World
  readonly #request = createIoRequest()
  /** What its hypercall in progress has changed so far. */
  readonly #calls: Call[] = []
  /** Parts of that hypercall that are still to be made. */
  #parts = 0

  constructor(stage: Processors, world: World, id: number) {
    this.#stage = stage
    this.#world = world
    this.id = id
  }

  /** Whether it is in the middle of an instruction, or has a notice to send or to wait for. */
  get waits(): boolean {
    return this.#stage.busy[this.id] === true || this.#world.invalidations.flagged(this.id) || this.#parts > 0
  }

  /**
   * Its turn.
   *
   * @param idle - it has no instructions left but those that it has begun
   */
  turn(idle: boolean): string | undefined {
    const world = this.#world
    const { busy } = this.#stage
    const { id } = this
    if (busy[id] === true) {
      // To ask is allowed at any time; with a request in the slot the answer is no.
      if (world.invalidations.resume(id) && world.invalidations.flagged(id)) throw new Broken(`vCPU ${id} goes on`)
      if (world.dispatch.requests.take(id) === STATUS_RETRY) return undefined
      busy[id] = false
    }
    if (world.invalidations.flagged(id) && !world.invalidations.resume(id)) return undefined
    if (this.#parts > 0) {
      // A hypercall that was preempted is executed again, with what is left of its arguments.
      world.passed([])
      return this.#part()
    }
    world.passed(this.#calls.splice(0))
    return idle ? undefined : this.#instruction()
  }

  #instruction(): string | undefined {
    const { rng } = this.#world
    switch (rng.below(5)) {
      case 0:
      case 1:
        this.#parts = rng.below(4) === 3 ? 3 : 1
        return this.#part()
      case 2:
        return this.#access()
      case 3:
        return this.#buffered()
      default:
        return this.#interrupted()
    }
  }

  /** A part of a hypercall: its own doing. */
  #part(): string {
    const { invalidations } = this.#world
    this.#parts--
    const { text, make } = this.#world.randomChange(`vCPU ${this.id}`)
    const before = invalidations.enter(this.id)
    this.#calls.push(make())
    invalidations.leave(before)
    return text
  }

  #access(): string | undefined {
    const { rng, parties } = this.#world
    if (parties.length === 0) return undefined
    const party = rng.pick(parties)
    this.#submit(party.base + rng.below(2) * 0x1000, rng.chance() ? IOREQ_READ : IOREQ_WRITE, 0)
    return `vCPU ${this.id} accesses ${party.name}`
  }

  /** A write that it does not wait for, and that has a device write to a guest frame. */
  #buffered(): string | undefined {
    const { rng, parties, at } = this.#world
    if (parties.length === 0) return undefined
    const party = rng.pick(parties)
    const gfn = rng.below(GFNS)
    this.#submit(party.base + BUFFERED, IOREQ_WRITE, at * 0x100 + gfn)
    return `vCPU ${this.id} has ${party.name} write to guest frame ${FIRST_GFN + gfn}`
  }

  #submit(gpa: number, direction: number, data: number): void {
    const request = this.#request
    request.type = IOREQ_TYPE_COPY
    request.direction = direction
    request.addressLo = gpa
    request.dataLo = data
    request.size = 4
    const { dispatch } = this.#world
    this.#stage.busy[this.id] = dispatch.submit(this.id, request) === STATUS_RETRY
  }

  /** A store whose translation is known when a handler that it runs into asks for a change of the map. */
  #interrupted(): string {
    const world = this.#world
    const gfn = FIRST_GFN + world.rng.below(GFNS)
    const mfn = world.map.mfnOf(gfn)
    const { text, make } = world.randomChange('a handler')
    this.#stage.executing = true
    const change = world.changes.request(() => world.fromOutside(make()))
    if (world.map.mfnOf(gfn) !== mfn) {
      throw new Broken(`vCPU ${this.id} stores to frame ${mfn}, which guest frame ${gfn} lost in mid-instruction`)
    }
    this.#stage.executing = false
    world.changes.stopped()
    change.catch((error: unknown) => (world.broken ??= error))
    return `vCPU ${this.id} is at guest frame ${gfn} when ${text}`
  }

  /** Reset, INIT or SIPI: nobody waits any more for what it has asked. */
  cancel(): string | undefined {
    if (this.#stage.busy[this.id] !== true) return undefined
    this.#stage.busy[this.id] = false
    this.#world.dispatch.requests.cancel(this.id)
    return `vCPU ${this.id} is reset`
  }
}
