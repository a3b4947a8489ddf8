import { type DeviceContext, DeviceError } from '@retrap/device'
import type { AtaDrive } from '../ata/drive.ts'
import { BSY, DRQ } from '../ata/taskfile.ts'
import { CommandList } from './command-list.ts'
import type { CommandListState } from './command-slots.ts'
import { REGISTER_AT, registerFrame } from './frames.ts'
import {
  CCS_SHIFT,
  CI,
  CLB,
  CLBU,
  CLO,
  CMD,
  CMD_BITS,
  CR,
  FB,
  FBU,
  FR,
  FRE,
  IE,
  INTERRUPTS,
  IS,
  PCS,
  POD,
  PortRegisters,
  SACT,
  SCTL,
  SERR,
  SIG,
  SSTS,
  ST,
  SUD,
  TFD,
} from './port-registers.ts'

/** A link of 3 Gbit/s is up. */
const LINK_UP = 0x123
const EXCHANGED = 1 << 26
const NO_DEVICE = 0x7f

/** Saved form of an {@link AhciPort}. */
export interface AhciPortState {
  readonly registers: readonly number[]
  readonly halted: boolean
  readonly greeting: boolean
  readonly drive: { readonly kind: string; readonly state: unknown }
  /** The port's commands. */
  readonly commands: CommandListState
}

/** The parts of a port. */
export interface AhciPortParts {
  readonly context: DeviceContext
  readonly drive: AtaDrive | null
  /** Whether the function may read and write memory: its bus master bit. */
  readonly mayMaster: () => boolean
  /** The port's interrupt status or its enables have changed. */
  readonly changed: () => void
}

/**
 * A port of an AHCI controller with its drive: registers, link, received frames. After ST is cleared, no byte of a command
 * that was under way reaches guest memory.
 *
 * Source: Serial ATA AHCI 1.3.1, chapters 3.3 and 10.
 */
export class AhciPort {
  readonly #drive: AtaDrive | null
  readonly #registers: PortRegisters
  /** The port's commands. */
  readonly commands: CommandList
  /** The drive's first frame, with its signature, waits for FRE. */
  #greeting = false

  constructor({ context, drive, mayMaster, changed }: AhciPortParts) {
    this.#drive = drive
    const registers = new PortRegisters(context.dma, mayMaster, changed)
    this.#registers = registers
    const greet = (): void => {
      this.#greeting = true
      this.#greet()
    }
    this.commands = new CommandList({ context, drive, registers, mayMaster, greet })
  }

  /** Whether the port interrupts. */
  get interrupts(): boolean {
    return (this.#registers.get(IS) & this.#registers.get(IE)) !== 0
  }

  // ---- Registers ----

  read(register: number): number {
    switch (register) {
      case SSTS:
        return this.#drive !== null && this.#detection === 0 ? LINK_UP : 0
      case TFD:
        return this.commands.busy ? BSY : this.#registers.get(TFD)
      case CMD:
        return this.#registers.get(CMD) | SUD | POD
      default:
        return register < 0x40 ? this.#registers.get(register) : 0
    }
  }

  write(register: number, value: number): void {
    switch (register) {
      case CLB:
        this.#registers.set(CLB, value & ~0x3ff)
        break
      case FB:
        this.#registers.set(FB, value & ~0xff)
        break
      case CLBU:
      case FBU:
        this.#registers.set(register, value)
        break
      case IS:
        // The connect change is the one of the error register.
        this.#registers.set(
          IS,
          (this.#registers.get(IS) & ~(value & ~PCS)) | (this.#registers.get(SERR) & EXCHANGED ? PCS : 0),
        )
        break
      case IE:
        this.#registers.set(IE, value & INTERRUPTS)
        break
      case CMD:
        this.#command(value)
        break
      case SCTL:
        this.#control(value)
        break
      case SERR:
        this.#registers.set(SERR, this.#registers.get(SERR) & ~value)
        if ((this.#registers.get(SERR) & EXCHANGED) === 0) this.#registers.set(IS, this.#registers.get(IS) & ~PCS)
        break
      case SACT:
        if (this.#registers.started) this.#registers.set(SACT, this.#registers.get(SACT) | value)
        break
      case CI:
        if (!this.#registers.started) break
        this.#registers.set(CI, this.#registers.get(CI) | value)
        this.commands.resume()
        break
    }
  }

  get #detection(): number {
    return this.#registers.get(SCTL) & 0xf
  }

  #command(value: number): void {
    const before = this.#registers.get(CMD)
    let next = (before & ~CMD_BITS) | (value & CMD_BITS)
    next = (next & ~(FR | CR)) | ((next & FRE) !== 0 ? FR : 0) | ((next & ST) !== 0 ? CR : 0)
    if ((before & ~next & ST) !== 0) {
      this.commands.stop()
      next &= ~(0x1f << CCS_SHIFT)
      this.#registers.set(CI, 0)
      this.#registers.set(SACT, 0)
    }
    this.#registers.set(CMD, next)
    // Command list override: the host goes on with a drive that is busy.
    if ((value & CLO) !== 0 && !this.#registers.started)
      this.#registers.set(TFD, this.#registers.get(TFD) & ~(BSY | DRQ))
    if ((next & FRE) !== 0) this.#greet()
    if ((next & ST) !== 0) this.commands.resume()
  }

  /** The link is reset while DET is 1, and off while it is 4. */
  #control(value: number): void {
    const before = this.#detection
    this.#registers.set(SCTL, value & 0xfff)
    const after = this.#detection
    if (after === before) return
    if (after === 1 || after === 4) {
      this.commands.stop()
      this.#registers.set(TFD, NO_DEVICE)
      this.#greeting = false
    } else if (after === 0) this.#connect()
  }

  /** The link comes up, and the drive tells what it is. */
  #connect(): void {
    if (this.#drive === null) return
    this.commands.forget()
    this.#drive.reset()
    this.#registers.set(TFD, BSY)
    this.#registers.set(SERR, this.#registers.get(SERR) | EXCHANGED)
    this.#greeting = true
    this.#registers.raise(PCS)
    if ((this.#registers.get(CMD) & FRE) !== 0) this.#greet()
  }

  #greet(): void {
    const drive = this.#drive
    if (!this.#greeting || drive === null) return
    this.#greeting = false
    const { registers } = drive
    this.#registers.set(SIG, (registers.high << 24) | (registers.mid << 16) | (registers.low << 8) | registers.count)
    this.#registers.set(TFD, registers.status | (registers.error << 8))
    this.#registers.receive(REGISTER_AT, registerFrame(registers, false))
  }

  // ---- Controller and machine ----

  /** A reset of the controller: addresses stay, the drive is as after a reset of its link. */
  reset(): void {
    this.commands.stop()
    this.commands.forget()
    for (const register of [IS, IE, CMD, SCTL, SERR, SACT, CI]) this.#registers.set(register, 0)
    this.#registers.set(TFD, NO_DEVICE)
    this.#registers.set(SIG, 0xffff_ffff)
    this.#connect()
  }

  powerOn(): void {
    this.#drive?.powerOn()
    this.#registers.clear()
    this.reset()
  }

  get #kind(): string {
    return this.#drive === null ? 'none' : this.#drive.packet ? 'cdrom' : 'disk'
  }

  save(): AhciPortState {
    return {
      registers: this.#registers.save(),
      halted: this.#registers.halted,
      greeting: this.#greeting,
      drive: { kind: this.#kind, state: this.#drive?.save() ?? null },
      commands: this.commands.save(),
    }
  }

  /** Throws `ERR_STATE` for a state of another drive. */
  checkState({ drive, commands }: AhciPortState): void {
    if (drive.kind !== this.#kind || (commands.running !== null && this.#drive === null)) {
      throw new DeviceError('ERR_STATE', `ahci: the saved port has drive ${drive.kind}: expected ${this.#kind}`)
    }
  }

  restore(state: AhciPortState): void {
    // Requests that are given up take the drive's buffer with them.
    this.commands.stop()
    this.#drive?.restore(state.drive.state)
    this.#registers.words.set(state.registers)
    this.#registers.halted = state.halted
    this.#greeting = state.greeting
    this.commands.restore(state.commands)
  }
}
