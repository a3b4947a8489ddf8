import { AccessKind, STATUS_DONE, type AccessLog } from '@retrap/replay'
import { INVALID_MFN, P2mType } from '@retrap/p2m'
import type { Rng } from '@retrap/tooling/soak'
import type { Change, Coverage, Wait } from './coverage.ts'
import { CODE, DECOY_GFNS, RAM_BYTES, STORE_GPA } from './layout.ts'
import type { ChaosMachine } from './machine.ts'

/**
 * Another party, while an instruction waits for a device: it changes what the instruction has read, in memory and in the
 * map of guest frames, and puts it back before the instruction retires, or reads anything for the first time.
 */
export class Adversary {
  readonly #machine: ChaosMachine
  readonly #log: AccessLog
  /** Machine address and old byte, alternately. */
  readonly #bytes: number[] = []
  /** Guest frames whose mapping is not what it should be. */
  readonly #frames: number[] = []
  readonly #coverage: Coverage
  /** The guest frame that a request for several iterations has named: its device reads and writes that by itself. */
  named = -1
  /** What the current pass waits for. */
  #wait: Wait = 'MMIO read'

  /** @param coverage - counts what is changed */
  constructor(machine: ChaosMachine, coverage: Coverage) {
    this.#machine = machine
    this.#coverage = coverage
    this.#log = machine.cpu.log
  }

  /**
   * @param code - guest-physical address of the instruction, with its length
   * @param event - it is the delivery of an event that waits
   * @param map - the map of guest frames may be changed too
   */
  strike(rng: Rng, code: number, length: number, event: boolean, map: boolean): void {
    const log = this.#log
    // It has not begun.
    if (!log.active) return
    this.#wait = event ? 'event' : waitOf(log)
    const named = this.#wait === 'iterations' ? this.named : -1
    const touched: number[] = []
    for (let i = 0; i < log.count; i++) {
      const kind = log.kind(i)
      if (kind === AccessKind.PORT_READ || kind === AccessKind.PORT_WRITE || kind === AccessKind.WALK_AD_WRITE) continue
      if (kind === AccessKind.FETCH) continue
      const gpa = log.addressLo(i)
      const frame = gpa >>> 12
      if (frame === named) continue
      if (!touched.includes(frame)) touched.push(frame)
      if (gpa >= RAM_BYTES || log.state(i) !== STATUS_DONE) continue
      if (kind === AccessKind.WALK_READ) {
        this.#entry(rng, gpa, log.size(i))
        this.#count('table entries')
      } else if (kind === AccessKind.READ) {
        for (let b = 0; b < log.size(i); b++) this.#change(gpa + b, 0xff)
        this.#count('data')
      }
    }
    if (rng.below(2) === 0 && code >>> 12 !== named) {
      for (let i = 0; i < length; i++) if (code + i < RAM_BYTES) this.#change(code + i, 0xff)
      this.#count('code')
    }
    const frames = map ? rng.below(4) : 0
    this.#machine.quietly(() => {
      for (let i = 0; i < frames && touched.length > 0; i++)
        this.#remap(rng, touched[rng.below(touched.length)] as number)
    })
  }

  /** A table entry is cleared, made to lead elsewhere, or turned into nonsense. */
  #entry(rng: Rng, gpa: number, size: number): void {
    switch (rng.below(4)) {
      case 0:
        this.#change(gpa, this.#machine.ram[gpa] as number)
        break
      case 1:
        // Another frame of the first MiB; present, and with the same rights.
        this.#change(gpa + 1, 0x30)
        this.#change(gpa + 2, 0x01)
        break
      case 2:
        // Present, but not for writing or for users.
        this.#change(gpa, (this.#machine.ram[gpa] as number) & 6)
        break
      default:
        for (let i = 0; i < size; i++) this.#change(gpa + i, 0xff)
    }
  }

  #change(gpa: number, mask: number): void {
    const ma = this.#machine.machineAddress(gpa)
    const { u8 } = this.#machine.memory
    this.#bytes.push(ma, u8[ma] as number)
    u8[ma]! ^= mask
    this.#note(ma)
  }

  #count(change: Change): void {
    this.#coverage.changed(this.#wait, change)
  }

  #note(ma: number): void {
    const { memory } = this.#machine
    if (memory.codeBits[ma >>> 12] !== 0) memory.noteWrite(ma, 1)
  }

  /** Makes RAM a hole, a device, ROM or another frame, and a device RAM. */
  #remap(rng: Rng, gfn: number): void {
    if (this.#frames.includes(gfn) || this.#machine.isPagedOut(gfn)) return
    this.#frames.push(gfn)
    const { p2m } = this.#machine.domain
    const decoy = this.#machine.firstFrame + (DECOY_GFNS[rng.below(DECOY_GFNS.length)] as number)
    if (gfn >= RAM_BYTES / 0x1000) {
      p2m.insert(gfn, decoy, 0, P2mType.RAM_RW)
      this.#count('device to RAM')
      return
    }
    // What is ROM already becomes something else.
    switch (rng.below(this.#machine.rom.has(gfn) ? 2 : 4)) {
      case 0:
        p2m.remove(gfn, this.#machine.firstFrame + gfn)
        this.#count('RAM to nothing')
        break
      case 1:
        p2m.insert(gfn, INVALID_MFN, 0, P2mType.MMIO_DM)
        this.#count('RAM to device')
        break
      case 2:
        p2m.insert(gfn, this.#machine.firstFrame + gfn, 0, P2mType.RAM_RO)
        this.#count('RAM to ROM')
        break
      default:
        p2m.insert(gfn, decoy, 0, P2mType.RAM_RW)
        this.#count('RAM to other RAM')
    }
  }

  /** Puts everything back. @returns whether guest frames had been mapped elsewhere */
  undo(): boolean {
    const { domain, memory } = this.#machine
    const frames = this.#frames
    const moved = frames.length > 0
    this.#machine.quietly(() => {
      for (const gfn of frames) {
        if (gfn < RAM_BYTES / 0x1000) this.#machine.restoreFrame(gfn)
        else domain.p2m.remove(gfn, domain.p2m.translate(gfn * 0x1000) / 0x1000)
      }
    })
    frames.length = 0
    const bytes = this.#bytes
    for (let i = bytes.length - 2; i >= 0; i -= 2) {
      const ma = bytes[i] as number
      memory.u8[ma] = bytes[i + 1] as number
      this.#note(ma)
    }
    bytes.length = 0
    return moved
  }
}

/** Bytes of the instruction itself come from {@link STORE_GPA} + CODE on. */
const STORED_CODE = STORE_GPA + CODE

/** Whether a device's address is one that code is fetched from. */
export function isStoredCode(gpa: number): boolean {
  return gpa >= STORED_CODE && gpa < STORE_GPA + RAM_BYTES
}

/** What a pass of an instruction waits for. */
function waitOf(log: AccessLog): Wait {
  const { pending } = log
  if (pending < 0) return 'memory'
  if (log.tag(pending) >>> 16 >= 0x80) return 'iterations'
  switch (log.kind(pending)) {
    case AccessKind.PORT_READ:
      return 'port read'
    case AccessKind.PORT_WRITE:
      return 'port write'
    case AccessKind.MMIO_WRITE:
      return 'MMIO write'
    default:
      return isStoredCode(log.addressLo(pending)) ? 'fetch' : 'MMIO read'
  }
}
