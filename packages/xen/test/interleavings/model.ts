import type { DeviceContext, DeviceModel, InvalidatedFrames } from '@retrap/device'
import { BUFFERED, changeAndWait, copy, Held, rangeToMap } from './parties.ts'
import { FIRST_GFN, GFNS, type Reach } from './witness.ts'
import type { Party, World } from './world.ts'

interface Access {
  readonly vcpu: number
  answer(): void
}

/**
 * A device model as people write them, on its `DeviceContext` alone: it answers when it likes, maps, copies and holds guest
 * memory, takes its time to forget what it is told to, and changes the map in the middle of a request.
 */
export class Model implements DeviceModel {
  readonly name: string
  readonly synchronous = false
  readonly #world: World
  readonly #party: Party
  readonly #base: number
  /** Guest memory is in its process. */
  readonly #near: boolean
  readonly #held: Held
  #context: DeviceContext | undefined
  readonly #accesses: Access[] = []
  readonly #forgetting: (() => void)[] = []
  /** Buffered writes that it has begun. */
  readonly #writing: { readonly gfn: number; readonly at: number; readonly done: () => void }[] = []
  /** Bytes under way, where memory is far away. */
  #inFlight = 0

  constructor(world: World, party: Party, name: string, base: number, near: boolean) {
    this.#world = world
    this.#party = party
    this.name = name
    this.#base = base
    this.#near = near
    this.#held = new Held(world)
  }

  attach(context: DeviceContext): void {
    this.#context = context
    context.mapMmio(this.#base, BUFFERED, {
      read: (_offset, _size, request) =>
        new Promise<number>((resolve) => {
          this.#accesses.push({ vcpu: request?.vcpu ?? 0, answer: () => resolve(0x77) })
        }),
      write: (_offset, _size, _value, request) =>
        new Promise<void>((resolve) => {
          this.#accesses.push({ vcpu: request?.vcpu ?? 0, answer: resolve })
        }),
    })
    context.mapMmio(
      this.#base + BUFFERED,
      8,
      {
        read: () => 0,
        write: (_offset, _size, value, request) =>
          new Promise<void>((resolve) => {
            // One that its vCPU waits for has not been made before its answer.
            const at = (request?.vcpu ?? -1) < 0 ? value >>> 8 : Infinity
            this.#writing.push({ gfn: FIRST_GFN + (value & 0xff), at, done: resolve })
          }),
      },
      { buffered: true },
    )
  }

  get reaches(): Reach[] {
    this.#held.forgetEnded()
    return this.#held.reaches
  }

  invalidate(_frames: readonly InvalidatedFrames[] | null): void | Promise<void> {
    const kind = this.#world.hung.has(this.name) ? 2 : this.#world.rng.below(3)
    if (kind === 0) return undefined
    if (kind === 1) return void this.#held.releaseAll()
    return new Promise((resolve) => void this.#forgetting.push(resolve))
  }

  act(): string | undefined {
    const { rng, hung } = this.#world
    if (hung.has(this.name)) return undefined
    if (rng.chance(1, 64)) {
      hung.add(this.name)
      return `${this.name} hangs`
    }
    switch (rng.below(9)) {
      case 0:
      case 1:
        return this.#answer()
      case 2:
      case 7:
        return this.#near ? this.#map() : this.#transfer()
      case 3:
        if (this.#held.size === 0) return undefined
        this.#held.release(rng.below(this.#held.size))
        return `${this.name} releases a mapping`
      case 4:
        return this.#near ? copy(this.#world, this.name, this.#dma) : this.#transfer()
      case 5:
        if (this.#forgetting.length === 0) return undefined
        this.#forgetting.shift()?.()
        return `${this.name} has forgotten what it was told to`
      case 6:
        return this.#change()
      default:
        return this.#writeBuffered()
    }
  }

  get #dma(): DeviceContext['dma'] {
    return (this.#context as DeviceContext).dma
  }

  #answer(): string | undefined {
    if (this.#accesses.length === 0) return undefined
    const [access] = this.#accesses.splice(this.#world.rng.below(this.#accesses.length), 1)
    access?.answer()
    return `${this.name} answers vCPU ${access?.vcpu}`
  }

  #map(): string {
    const { gfn, gpa, length } = rangeToMap(this.#world)
    const writable = this.#world.rng.chance()
    this.#held.add(writable ? this.#dma.mapForWriting(gpa, length) : this.#dma.map(gpa, length), writable)
    return `${this.name} maps ${length} bytes at guest frame ${gfn}${writable ? ' for writing' : ''}`
  }

  /** What goes over the wire: the world looks where it arrives. */
  #transfer(): string {
    const { rng, at } = this.#world
    const gfn = FIRST_GFN + rng.below(GFNS)
    const ended = (): void => void this.#inFlight--
    this.#inFlight++
    const bytes = new Uint8Array(8)
    new DataView(bytes.buffer).setUint32(0, at, true)
    const transfer = rng.chance()
      ? this.#dma.readAsync(gfn * 4096, bytes)
      : this.#dma.writeAsync(gfn * 4096 + 512, bytes)
    transfer.then(ended, ended)
    return `${this.name} begins a transfer with guest frame ${gfn}`
  }

  #change(): string | undefined {
    const { rng } = this.#world
    if (this.#accesses.length > 0 && rng.chance()) {
      const [access] = this.#accesses.splice(rng.below(this.#accesses.length), 1) as [Access]
      return changeAndWait(this.#world, this.#party, access.vcpu, () => access.answer())
    }
    return rng.chance(1, 4) ? changeAndWait(this.#world, this.#party, undefined, () => undefined) : undefined
  }

  /** The device's own work for a buffered write, some time after it was taken out of the ring. */
  #writeBuffered(): string | undefined {
    const write = this.#writing.shift()
    if (write === undefined) return undefined
    const { gfn, at, done } = write
    const bytes = new Uint8Array(8)
    new DataView(bytes.buffer).setUint32(0, Math.min(at, this.#world.at), true)
    if (this.#near) {
      this.#world.bufferedArrives(this.name, gfn, at)
      this.#dma.write(gfn * 4096 + 256, bytes)
      done()
    } else this.#dma.writeAsync(gfn * 4096 + 256, bytes).then(() => done(), done)
    return `${this.name} does a buffered write to guest frame ${gfn}`
  }

  /** See `Party`. */
  finish(release: boolean): boolean {
    if (this.#world.hung.has(this.name)) return false
    let any = (release && this.#held.releaseAll()) || this.#inFlight > 0
    while (this.#answer() !== undefined) any = true
    while (this.#writeBuffered() !== undefined) any = true
    for (const forgotten of this.#forgetting.splice(0)) {
      any = true
      forgotten()
    }
    return any
  }
}
