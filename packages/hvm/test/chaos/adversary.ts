import type { AccessLog } from '@retrap/replay'
import { AccessKind, AccessState } from '@retrap/replay'
import { INVALID_MFN, P2mType } from '@retrap/p2m'
import type { Rng } from '@retrap/tooling/soak'
import { DECOY_GFNS, RAM_BYTES } from './layout.ts'
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
  /** Bytes and frames changed so far. */
  changed = 0

  constructor(machine: ChaosMachine) {
    this.#machine = machine
    this.#log = machine.cpu.log
  }

  /** @param code - guest-physical address and length of the instruction */
  strike(rng: Rng, code: number, length: number): void {
    const log = this.#log
    const touched: number[] = []
    for (let i = 0; i < log.count; i++) {
      const kind = log.kind(i)
      if (kind === AccessKind.PORT_READ || kind === AccessKind.PORT_WRITE || kind === AccessKind.WALK_AD_WRITE) continue
      if (kind === AccessKind.FETCH) continue
      const gpa = log.addressLo(i)
      const frame = gpa >>> 12
      if (!touched.includes(frame)) touched.push(frame)
      if (gpa >= RAM_BYTES || log.state(i) !== AccessState.COMPLETE) continue
      if (kind === AccessKind.WALK_READ) this.#entry(rng, gpa, log.size(i))
      else if (kind === AccessKind.READ) for (let b = 0; b < log.size(i); b++) this.#change(gpa + b, 0xff)
    }
    if (rng.below(2) === 0) for (let i = 0; i < length; i++) if (code + i < RAM_BYTES) this.#change(code + i, 0xff)
    const frames = rng.below(4)
    for (let i = 0; i < frames && touched.length > 0; i++)
      this.#remap(rng, touched[rng.below(touched.length)] as number)
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
    this.changed++
    this.#note(ma)
  }

  #note(ma: number): void {
    const { memory } = this.#machine
    if (memory.codeBits[ma >>> 12] !== 0) memory.noteWrite(ma, 1)
  }

  /** Makes RAM a hole, a device, ROM or another frame, and a device RAM. */
  #remap(rng: Rng, gfn: number): void {
    if (this.#frames.includes(gfn)) return
    this.#frames.push(gfn)
    this.changed++
    const { p2m } = this.#machine.domain
    const decoy = this.#machine.firstFrame + (DECOY_GFNS[rng.below(DECOY_GFNS.length)] as number)
    if (gfn >= RAM_BYTES / 0x1000) {
      p2m.insert(gfn, decoy, 0, P2mType.RAM_RW)
      return
    }
    switch (rng.below(4)) {
      case 0:
        p2m.remove(gfn, this.#machine.firstFrame + gfn)
        break
      case 1:
        p2m.insert(gfn, INVALID_MFN, 0, P2mType.MMIO_DM)
        break
      case 2:
        p2m.insert(gfn, this.#machine.firstFrame + gfn, 0, P2mType.RAM_RO)
        break
      default:
        p2m.insert(gfn, decoy, 0, P2mType.RAM_RW)
    }
  }

  /** Puts everything back. @returns whether guest frames had been mapped elsewhere */
  undo(): boolean {
    const { domain, firstFrame, memory } = this.#machine
    const frames = this.#frames
    const moved = frames.length > 0
    for (const gfn of frames) {
      if (gfn < RAM_BYTES / 0x1000) domain.p2m.insert(gfn, firstFrame + gfn, 0, P2mType.RAM_RW)
      else domain.p2m.remove(gfn, domain.p2m.translate(gfn * 0x1000) / 0x1000)
    }
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
