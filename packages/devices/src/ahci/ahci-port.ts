import { type DeviceContext, fieldsPart, Stateful } from '@retrap/device'
import { type AtaDrive, drivePart } from '../ata/drive.ts'
import { BSY, DRQ } from '../ata/taskfile.ts'
import { CommandList } from './command-list.ts'
import { REGISTER_AT, registerFrame } from './frames.ts'
import * as portRegisters from './port-registers.ts'
import { PortRegisters } from './port-registers.ts'

/** A link of 3 Gbit/s is up. */
const LINK_UP = 0x123
const EXCHANGED = 1 << 26
const NO_DEVICE = 0x7f

/**
 * A port of an AHCI controller with its drive: registers, link, received frames. After ST is cleared, no byte of a command
 * that was under way reaches guest memory.
 *
 * Source: Serial ATA AHCI 1.3.1, chapters 3.3 and 10.
 */
export class AhciPort extends Stateful {
  readonly #drive: AtaDrive | null
  readonly #registers: PortRegisters
  /** The port's commands. */
  readonly commands: CommandList
  readonly #r

  /**
   * @param mayMaster - whether the function may read and write memory: its bus master bit
   * @param changed - the port's interrupt status or its enables have changed
   */
  constructor(context: DeviceContext, drive: AtaDrive | null, mayMaster: () => boolean, changed: () => void) {
    super()
    this.#drive = drive
    const registers = new PortRegisters(context.dma, mayMaster, changed)
    this.#registers = registers
    this.commands = new CommandList(context, drive, registers, mayMaster, () => {
      this.#r.greeting = true
      this.#greet()
    })
    this.#r = this.keeps(
      {
        registers: registers.words,
        flags: fieldsPart(registers, { only: ['halted'] }),
        /** The drive's first frame, with its signature, waits for FRE. */
        greeting: false,
        drive: drivePart(drive),
        commands: this.commands,
      },
      { flat: ['flags'] },
    )
  }

  get interrupts(): boolean {
    return (this.#registers.get(portRegisters.IS) & this.#registers.get(portRegisters.IE)) !== 0
  }

  // ---- Registers ----

  read(register: number): number {
    switch (register) {
      case portRegisters.SSTS:
        return this.#drive !== null && this.#detection === 0 ? LINK_UP : 0
      case portRegisters.TFD:
        return this.commands.busy ? BSY : this.#registers.get(portRegisters.TFD)
      case portRegisters.CMD:
        return this.#registers.get(portRegisters.CMD) | portRegisters.SUD | portRegisters.POD
      default:
        return register < 0x40 ? this.#registers.get(register) : 0
    }
  }

  write(register: number, value: number): void {
    switch (register) {
      case portRegisters.CLB:
        this.#registers.set(portRegisters.CLB, value & ~0x3ff)
        break
      case portRegisters.FB:
        this.#registers.set(portRegisters.FB, value & ~0xff)
        break
      case portRegisters.CLBU:
      case portRegisters.FBU:
        this.#registers.set(register, value)
        break
      case portRegisters.IS:
        // The connect change mirrors the error register's bit.
        this.#registers.set(
          portRegisters.IS,
          (this.#registers.get(portRegisters.IS) & ~(value & ~portRegisters.PCS)) |
            (this.#registers.get(portRegisters.SERR) & EXCHANGED ? portRegisters.PCS : 0),
        )
        break
      case portRegisters.IE:
        this.#registers.set(portRegisters.IE, value & portRegisters.INTERRUPTS)
        break
      case portRegisters.CMD:
        this.#command(value)
        break
      case portRegisters.SCTL:
        this.#control(value)
        break
      case portRegisters.SERR:
        this.#registers.set(portRegisters.SERR, this.#registers.get(portRegisters.SERR) & ~value)
        if ((this.#registers.get(portRegisters.SERR) & EXCHANGED) === 0)
          this.#registers.set(portRegisters.IS, this.#registers.get(portRegisters.IS) & ~portRegisters.PCS)
        break
      case portRegisters.SACT:
        if (this.#registers.started)
          this.#registers.set(portRegisters.SACT, this.#registers.get(portRegisters.SACT) | value)
        break
      case portRegisters.CI:
        if (!this.#registers.started) break
        this.#registers.set(portRegisters.CI, this.#registers.get(portRegisters.CI) | value)
        this.commands.resume()
        break
    }
  }

  get #detection(): number {
    return this.#registers.get(portRegisters.SCTL) & 0xf
  }

  #command(value: number): void {
    const before = this.#registers.get(portRegisters.CMD)
    let next = (before & ~portRegisters.CMD_BITS) | (value & portRegisters.CMD_BITS)
    next =
      (next & ~(portRegisters.FR | portRegisters.CR)) |
      ((next & portRegisters.FRE) !== 0 ? portRegisters.FR : 0) |
      ((next & portRegisters.ST) !== 0 ? portRegisters.CR : 0)
    if ((before & ~next & portRegisters.ST) !== 0) {
      this.commands.stop()
      next &= ~(0x1f << portRegisters.CCS_SHIFT)
      this.#registers.set(portRegisters.CI, 0)
      this.#registers.set(portRegisters.SACT, 0)
    }
    this.#registers.set(portRegisters.CMD, next)
    // Command list override: the host continues although the drive is busy.
    if ((value & portRegisters.CLO) !== 0 && !this.#registers.started)
      this.#registers.set(portRegisters.TFD, this.#registers.get(portRegisters.TFD) & ~(BSY | DRQ))
    if ((next & portRegisters.FRE) !== 0) this.#greet()
    if ((next & portRegisters.ST) !== 0) this.commands.resume()
  }

  /** The link is reset while DET is 1, and off while it is 4. */
  #control(value: number): void {
    const before = this.#detection
    this.#registers.set(portRegisters.SCTL, value & 0xfff)
    const after = this.#detection
    if (after === before) return
    if (after === 1 || after === 4) {
      this.commands.stop()
      this.#registers.set(portRegisters.TFD, NO_DEVICE)
      this.#r.greeting = false
    } else if (after === 0) this.#connect()
  }

  /** Brings the link up, and receives the drive's signature. */
  #connect(): void {
    if (this.#drive === null) return
    this.commands.forget()
    this.#drive.reset()
    this.#registers.set(portRegisters.TFD, BSY)
    this.#registers.set(portRegisters.SERR, this.#registers.get(portRegisters.SERR) | EXCHANGED)
    this.#r.greeting = true
    this.#registers.raise(portRegisters.PCS)
    if ((this.#registers.get(portRegisters.CMD) & portRegisters.FRE) !== 0) this.#greet()
  }

  #greet(): void {
    const drive = this.#drive
    if (!this.#r.greeting || drive === null) return
    this.#r.greeting = false
    const { registers } = drive
    this.#registers.set(
      portRegisters.SIG,
      (registers.high << 24) | (registers.mid << 16) | (registers.low << 8) | registers.count,
    )
    this.#registers.set(portRegisters.TFD, registers.status | (registers.error << 8))
    this.#registers.receive(REGISTER_AT, registerFrame(registers, false))
  }

  // ---- Controller and machine ----

  /** A reset of the controller: addresses stay, the drive is as after a reset of its link. */
  override reset(): void {
    this.commands.stop()
    this.commands.forget()
    for (const register of [
      portRegisters.IS,
      portRegisters.IE,
      portRegisters.CMD,
      portRegisters.SCTL,
      portRegisters.SERR,
      portRegisters.SACT,
      portRegisters.CI,
    ])
      this.#registers.set(register, 0)
    this.#registers.set(portRegisters.TFD, NO_DEVICE)
    this.#registers.set(portRegisters.SIG, 0xffff_ffff)
    this.#connect()
  }

  powerOn(): void {
    this.#drive?.powerOn()
    this.#registers.clear()
    this.reset()
  }

  override stateFault(state: unknown): string | undefined {
    const fault = super.stateFault(state)
    if (fault !== undefined || this.#drive !== null) return fault
    const { commands } = state as { readonly commands: { readonly running: unknown } }
    return commands.running === null ? undefined : '.commands.running is of a drive: expected none'
  }

  override restore(state: unknown): void {
    // Stopped requests release the drive's buffer.
    this.commands.stop()
    super.restore(state)
  }
}
