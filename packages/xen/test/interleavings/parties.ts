import type { GuestMapping, GuestSegment } from '@retrap/device'
import { FIRST_GFN, GFNS, type Reach } from './witness.ts'
import type { Party, World } from './world.ts'

/** Registers of the party with a number: two models of 4 KiB each, behind RAM and within what can be buffered. */
export const baseOf = (number: number): number => 0x4_0000 + number * 0x2000
/** Of a party's registers, those whose writes are buffered. They take a guest frame, to which the device then writes. */
export const BUFFERED = 0x800

/** What can be held: the mappings of `@retrap/mapcache` and those of a `DeviceContext`. */
type AnyMapping = Pick<GuestMapping, 'release' | 'held'> & { readonly segments: readonly GuestSegment[] }

/** The mappings that a party holds, and what they reach. */
export class Held {
  readonly #world: World
  readonly #mappings: { readonly mapping: AnyMapping; readonly reaches: readonly Reach[] }[] = []

  constructor(world: World) {
    this.#world = world
  }

  get size(): number {
    return this.#mappings.length
  }

  get reaches(): Reach[] {
    return this.#mappings.flatMap(({ reaches }) => reaches)
  }

  /** @param mapping - just made */
  add(mapping: AnyMapping, writable: boolean): void {
    const { stage } = this.#world
    const reaches: Reach[] = []
    for (const { bytes, gpa, length } of mapping.segments) {
      if (!(bytes instanceof Uint8Array) || bytes.buffer !== stage.memory.buffer) continue
      const first = bytes.byteOffset >>> 12
      const last = (bytes.byteOffset + length - 1) >>> 12
      for (let mfn = first; mfn <= last; mfn++) {
        const gfn = Math.floor(gpa / 4096) + mfn - first
        reaches.push({ gfn, mfn, writable, freed: stage.history.freed[mfn] as number })
      }
    }
    this.#mappings.push({ mapping, reaches })
  }

  release(index: number): void {
    const [gone] = this.#mappings.splice(index, 1)
    gone?.mapping.release()
  }

  releaseAll(): boolean {
    const any = this.size > 0
    while (this.size > 0) this.release(0)
    return any
  }

  /** Those that are not held any more, because their owner has been taken out, reach nothing. */
  forgetEnded(): void {
    for (let i = this.#mappings.length - 1; i >= 0; i--) {
      if (!(this.#mappings[i] as { mapping: AnyMapping }).mapping.held) this.#mappings.splice(i, 1)
    }
  }
}

/** A range of guest memory to map: within the frames that change, or across their ends. */
export function rangeToMap(world: World): { gfn: number; gpa: number; length: number } {
  const { rng } = world
  const gfn = FIRST_GFN + rng.below(GFNS)
  return { gfn, gpa: gfn * 4096 + rng.below(2) * 64, length: rng.pick([4, 4096, 0x1800, 0x2800]) }
}

/** What can copy from the guest at once. */
interface Copier {
  read(gpa: number, into: Uint8Array): boolean
  write(gpa: number, from: Uint8Array): boolean
}

const mark = new Uint8Array(4)
const text = Uint8Array.of(1, 2, 3, 4)

/** Copies from or to a guest frame, and looks which machine frame that was. */
export function copy(world: World, name: string, memory: Copier): string {
  const gfn = FIRST_GFN + world.rng.below(GFNS)
  const write = world.rng.chance()
  if (memory.read(gfn * 4096, mark)) world.checkRead(name, gfn, new DataView(mark.buffer).getUint32(0, true))
  if (write) memory.write(gfn * 4096 + 128, text)
  return `${name} ${write ? 'writes' : 'reads'} guest frame ${gfn}`
}

/** A change that a device model makes itself, while a request waits for it or out of its own accord. */
export function changeAndWait(world: World, party: Party, vcpu: number | undefined, then: () => void): string {
  const { text: what, make } = world.randomChange(party.name)
  const { server } = party
  world.waits++
  const excuse = (by: number): void => {
    if (vcpu !== undefined) world.excused.set(party.name, (world.excused.get(party.name) ?? 0) + by)
  }
  excuse(1)
  const done = (): void => {
    world.waits--
    excuse(-1)
    then()
  }
  const wait = async (): Promise<void> => {
    const { result: call, ticket } = await world.changes.request(() => world.fromOutside(make()))
    await ticket.wait(vcpu === undefined ? { server } : { server, vcpu })
    world.checkReturned(call, party)
  }
  wait().then(done, (error: unknown) => {
    if ((error as { code?: string }).code === 'ERR_DEADLOCK') world.deadlocks++
    else world.broken ??= error
    done()
  })
  return `${what}${vcpu === undefined ? '' : `, in a request of vCPU ${vcpu}`}`
}
