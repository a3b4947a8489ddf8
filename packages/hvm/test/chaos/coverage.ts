/** What of the matrix the chaos oracle has seen: form × where its accesses went, and what happened at each kind of pass. */
import { AccessKind, type AccessLog } from '@retrap/replay'
import { HAPPENINGS, WAITING_FOR, type Happening, type WaitingFor } from './events.ts'

/** Where an instruction's accesses went. */
export const PLACES = ['RAM', 'MMIO', 'ports', 'RAM and MMIO', 'RAM and ports', 'all three'] as const
export type Place = (typeof PLACES)[number]

export const STRINGS = ['INS', 'OUTS', 'MOVS', 'CMPS', 'STOS', 'LODS', 'SCAS'] as const

/** What a pass waits for. */
export const WAITS = ['fetch', 'MMIO read', 'MMIO write', 'port read', 'port write', 'iterations', 'event'] as const
/** Frames that are paged out are waited for where something is to happen meanwhile, and no more often. */
export type Wait = (typeof WAITS)[number] | 'memory'

/** What another party changes meanwhile: bytes, and what the p2m says of a frame. */
export const CHANGES = [
  ...['table entries', 'data', 'code'],
  ...['RAM to nothing', 'RAM to device', 'RAM to ROM', 'RAM to other RAM', 'device to RAM'],
] as const
export type Change = (typeof CHANGES)[number]

/** Counts of one oracle. */
export class Coverage {
  readonly #seen = new Map<string, number>()
  readonly #all = new Set<string>()
  readonly #changes = new Map<string, number>()
  readonly #repeats = new Map<string, number>()
  readonly #happened = new Map<string, number>()
  instructions = 0
  /** Those that waited for a device. */
  replayed = 0
  passes = 0
  /** Those whose end is no part of the comparison. */
  lost = 0
  /** Interrupts taken in the middle of a repeated instruction, or at its end. */
  interrupts = 0
  /** Instructions after which device models had to let go of frames that had left the map. */
  notices = 0
  /** Stores to ROM by instructions that waited. */
  romStores = 0
  /** Repeated instructions that a fault ended after some iterations, and waited for a device before. */
  faultsMidway = 0
  /** Task switches that waited for a device. */
  taskSwitches = 0
  /** Cancelled instructions whose answer was still to come when the vCPU asked the same server again. */
  late = 0
  /** Instructions with others after them, of which several waited. */
  lines = 0

  offer(form: string): void {
    this.#all.add(form)
  }

  /** Forms there are. */
  get offered(): number {
    return this.#all.size
  }

  note(form: string, place: Place): void {
    // Code in page tables is no form of its own.
    if (this.#all.has(form)) this.#seen.set(form, (this.#seen.get(form) ?? 0) | (1 << PLACES.indexOf(place)))
  }

  /** Something has been changed while a pass waits. */
  changed(wait: Wait, change: Change): void {
    const key = `${wait}: ${change}`
    this.#changes.set(key, (this.#changes.get(key) ?? 0) + 1)
  }

  /** How often something has been changed while passes of a kind waited. */
  changes(wait: Wait, change: Change): number {
    return this.#changes.get(`${wait}: ${change}`) ?? 0
  }

  /** Something has happened while an instruction waited. */
  noteHappening(happening: Happening, waiting: WaitingFor): void {
    const key = `${happening}: ${waiting}`
    this.#happened.set(key, (this.#happened.get(key) ?? 0) + 1)
  }

  /** How often something has happened while an instruction waited for something. */
  happened(happening: Happening, waiting: WaitingFor): number {
    return this.#happened.get(`${happening}: ${waiting}`) ?? 0
  }

  /** A repeated string instruction has waited. */
  noteRepeat(form: string, down: boolean, place: Place): void {
    const key = repeatKey(STRINGS.find((name) => form.startsWith(name)) as string, down, place)
    this.#repeats.set(key, (this.#repeats.get(key) ?? 0) + 1)
  }

  /** How often a string instruction has been repeated in a direction, with accesses of a kind. */
  repeats(name: (typeof STRINGS)[number], down: boolean, place: Place): number {
    return this.#repeats.get(repeatKey(name, down, place)) ?? 0
  }

  /** Forms that accesses of this kind have been seen of. */
  forms(place: Place): number {
    const bit = 1 << PLACES.indexOf(place)
    return [...this.#seen.values()].filter((bits) => (bits & bit) !== 0).length
  }

  /** Forms that have not met a device. */
  missing(): string[] {
    return [...this.#all].filter((form) => ((this.#seen.get(form) ?? 0) & ~1) === 0)
  }

  describe(transport: string): string {
    const cells = PLACES.map((place) => `${place} ${this.forms(place)}`)
    const rows = WAITS.map((wait) => `  ${wait}: ${CHANGES.map((c) => `${c} ${this.changes(wait, c)}`).join(', ')}`)
    const repeats = STRINGS.flatMap((name) => [
      ...PLACES.filter((place) => this.repeats(name, false, place) + this.repeats(name, true, place) > 0).map(
        (place) => `${name} ${place} ${this.repeats(name, false, place)}/${this.repeats(name, true, place)}`,
      ),
    ])
    const happened = HAPPENINGS.map(
      (each) => `  ${each}: ${WAITING_FOR.map((w) => `${w} ${this.happened(each, w)}`).join(', ')}`,
    )
    return [
      `${transport}: ${this.instructions} instructions (${this.lost} without comparison), ${this.replayed} replayed in ${this.passes} passes, ${this.interrupts} interrupts within repeated ones, ${this.taskSwitches} task switches, ${this.lines} lines of several, ${this.romStores} stores to ROM, ${this.notices} notices of frames that left`,
      `  forms of ${this.offered} with ${cells.join(', ')}; without a device ${this.missing().length}`,
      `  repeated, upwards/downwards: ${repeats.join(', ')}; ${this.faultsMidway} ended by a fault midway`,
      `  changed while waiting for`,
      ...rows,
      `  happened while waiting for; ${this.late} late answers came after the vCPU had gone on`,
      ...happened,
    ].join('\n')
  }
}

function repeatKey(name: string, down: boolean, place: Place): string {
  return `${name}${down ? '-' : '+'}${place}`
}

/** Where the accesses went that a log holds. */
export function placeOf(log: AccessLog): Place {
  let ram = false
  let mmio = false
  let ports = false
  for (let i = 0; i < log.count; i++) {
    const kind = log.kind(i)
    if (kind === AccessKind.READ || kind === AccessKind.WRITE) ram = true
    else if (kind === AccessKind.MMIO_READ || kind === AccessKind.MMIO_WRITE) mmio = true
    else if (kind === AccessKind.PORT_READ || kind === AccessKind.PORT_WRITE) ports = true
  }
  if (mmio && ports) return 'all three'
  if (mmio) return ram ? 'RAM and MMIO' : 'MMIO'
  return ports ? (ram ? 'RAM and ports' : 'ports') : 'RAM'
}
