import {
  type AccessSize,
  type DeviceContext,
  DeviceError,
  type DeviceModel,
  type InterruptLine,
  type PlainState,
  type Region,
  Stateful,
  type SynchronousRangeHandler,
  type Timer,
} from '@retrap/device'
import { Piix4PmFunction } from './piix4-pm-function.ts'
import { placeRegion } from './place-region.ts'
import { PM_TIMER_RATE, TickCounter } from './tick-counter.ts'

/** Ports of the power-management block, and the values of its fields; the FADT and the DSDT repeat these. */
export const ACPI_PM = {
  /** First port of the block, 16-byte aligned. */
  base: 0x600,
  /** PM1a event block: status at +0, enable at +2. */
  eventOffset: 0,
  /** PM1a control block. */
  controlOffset: 4,
  /** 32-bit power-management timer. */
  timerOffset: 8,
  /** Ports in the block. */
  blockBytes: 16,
  /** ISA line of the System Control Interrupt. */
  sciIrq: 9,
  /** SMI command port. */
  smiCommandPort: 0xb2,
  /** Value for the SMI command port that turns ACPI mode on. */
  acpiEnable: 0xf1,
  /** Value for the SMI command port that turns ACPI mode off. */
  acpiDisable: 0xf0,
  /** SLP_TYP of S3. */
  s3SleepType: 1,
  /** SLP_TYP of S5. */
  s5SleepType: 0,
} as const

/** Ports of ACPI's hot plug on an i440FX, and their fields; the FADT and the DSDT repeat these. */
export const ACPI_HOT_PLUG = {
  /** First port of the general-purpose event block: status at +0, enable behind it. */
  eventBase: 0xafe0,
  /** Ports in the event block, half of them for each. */
  eventBytes: 4,
  /** The event, by number, that tells of PCI slots. */
  event: 1,
  /** First port of the registers, of 32 bits each, with a bit for each slot. */
  base: 0xae00,
  /** Slots to which a device has come. A read clears it. */
  upOffset: 0,
  /** Slots whose device the guest is to give up. A read clears it. */
  downOffset: 4,
  /** Writes give devices up. */
  ejectOffset: 8,
  /** Slots whose devices may come and go. */
  removableOffset: 12,
  /** The bus that the registers are of. */
  busOffset: 16,
  /** Slots whose device was pulled. A read clears it. */
  pulledOffset: 24,
  /** Ports of the registers. */
  bytes: 28,
} as const

// PM1 status and enable (ACPI 6.5, 4.8.3.1, "PM1 Event Grouping").
const TMR = 1 << 0
const BM_STS = 1 << 4
const GBL = 1 << 5
const PWRBTN = 1 << 8
const SLPBTN = 1 << 9
const RTC = 1 << 10
const WAK_STS = 1 << 15
const STATUS_BITS = TMR | BM_STS | GBL | PWRBTN | SLPBTN | RTC | WAK_STS
const ENABLE_BITS = TMR | GBL | PWRBTN | SLPBTN | RTC
/** The half of the event registers that the standby supply keeps. */
const STANDBY_BITS = 0xff00
// PM1 control (4.8.3.2, "PM1 Control Grouping").
const SCI_EN = 1 << 0
const BM_RLD = 1 << 1
const SLP_TYP_SHIFT = 10
const SLP_TYP = 7 << SLP_TYP_SHIFT
const SLP_EN = 1 << 13
/** The timer's carry: TMR_STS is set whenever bit 31 changes. */
const CARRY_TICKS = 2 ** 31

/** The guest's registers. */
const POWER_ON = {
  status: 0,
  enable: 0,
  control: 0,
  carries: 0,
  smiCommand: 0,
  smiStatus: 0,
}

/** Options of {@link AcpiPm}. */
export interface AcpiPmOptions {
  /** First port of the block; default 0x600. */
  readonly base?: number
  /** Default 9. */
  readonly sciIrq?: number
  /** False: no SMI command port; SCI_EN is always set. Default true. */
  readonly smiCommand?: boolean
  /**
   * PCI device of which the block is function 3, as on an 82371AB; by default it is on no bus. Firmware that places the
   * block finds it at its PMBA as well as at `base`, which ACPI tables name.
   */
  readonly pciDevice?: number
  /**
   * Raises SMI#: the guest has written a command; `acpi` says whether it is one of ACPI's two. Absent: there is no
   * system-management mode, and firmware finds it in use.
   */
  readonly onSmi?: (acpi: boolean) => void
  /**
   * Called when the guest asks to sleep (S3). The machine then stops its processors and resets its devices, including
   * this one. Absent: no S3.
   */
  readonly onSleep?: () => void
  /** The machine is to wake: it had fallen asleep, and been reset. */
  readonly onWake?: () => void
  /** Whether `place` may also map the block elsewhere. Default: whether it is on a bus. */
  readonly movable?: boolean
}

/**
 * ACPI fixed hardware: the PM1a event and control blocks, the 32-bit
 * power-management timer and the SMI command port's two values. Entering S5
 * asks the machine for power-off, and S3 asks it to sleep; other sleep types do
 * nothing, because the tables declare none.
 *
 * The reset that belongs to S3 leaves the upper halves of the event registers and the sleep type, which are on the standby supply,
 * and SCI_EN, which firmware would restore. The power button, `wake`, and an alarm of the clock whose RTC_EN is set wake
 * the machine, with WAK_STS.
 *
 * Source: ACPI Specification 6.5, section 4.8, "ACPI Register Model", and 16.1.3, "System S3 State"; Intel
 * ICH9 data sheet (316972), power wells of PM1_STS, PM1_EN and PM1_CNT.
 */
export class AcpiPm extends Stateful implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string = 'acpi-pm'
  readonly #options: AcpiPmOptions
  /** The timer. Its origin advances by whole turns of the 32 bits, so that the last tick still carries. */
  readonly #counter = new TickCounter(PM_TIMER_RATE, 2 * CARRY_TICKS, () => {
    this.#r.status |= TMR
    this.#r.carries = 0
  })
  readonly #r = this.keeps(
    {
      version: 2,
      origin: this.#counter.origin,
      ...POWER_ON,
      /** The machine sleeps; or the guest has asked for it, and the machine has not been reset yet. */
      sleep: undefined as 'falling' | 'asleep' | undefined,
    },
    {
      settled: (): void => {
        this.#follow()
        this.#update()
      },
    },
  )
  #context: DeviceContext | null = null
  #line: InterruptLine | null = null
  #timer: Timer | null = null
  #function: Piix4PmFunction | null = null
  /** The block at the address chosen by firmware; null before. */
  #placed: Region | null = null

  constructor(options: AcpiPmOptions = {}) {
    super()
    const base = options.base ?? ACPI_PM.base
    if (!Number.isInteger(base) || base < 0 || base > 0xfff0 || base % 16 !== 0)
      throw new DeviceError(
        'ERR_OPTION',
        `acpi-pm: base 0x${base.toString(16)}: expected a multiple of 16 up to 0xfff0`,
      )
    this.#options = options
    // A board without SMI command port starts in ACPI mode, because firmware cannot switch it.
    this.#r.control = this.#initialControl
  }

  get #initialControl(): number {
    return (this.#options.smiCommand ?? true) ? 0 : SCI_EN
  }

  /** Claims the block’s ports and the SMI command port, and takes the SCI line. */
  attach(context: DeviceContext): void {
    this.#context = context
    this.#counter.attach(context.clock)
    this.#line = context.interruptLine(this.#options.sciIrq ?? ACPI_PM.sciIrq)
    this.#timer = context.timer(() => this.#update())
    const registers: SynchronousRangeHandler = {
      read: (offset: number, size: AccessSize): number => this.#read(offset, size),
      write: (offset: number, size: AccessSize, value: number): void => {
        for (let i = 0; i < size; i++) this.#writeByte(offset + i, (value >>> (8 * i)) & 0xff, i === size - 1)
      },
    }
    const base = this.#options.base ?? ACPI_PM.base
    context.mapPorts(base, ACPI_PM.blockBytes, registers)
    if (this.#options.movable ?? this.#options.pciDevice !== undefined) {
      this.#placed = context.mapPorts(base + ACPI_PM.blockBytes, ACPI_PM.blockBytes, registers, { disabled: true })
    }
    if (this.#options.pciDevice !== undefined) {
      this.#function = new Piix4PmFunction(context, {
        device: this.#options.pciDevice,
        seesCommands: this.#options.onSmi === undefined,
        onChange: () => this.#follow(),
      })
    }
    if (this.#options.smiCommand ?? true) {
      const smi: SynchronousRangeHandler = {
        read: (offset: number): number => (offset === 0 ? this.#r.smiCommand : this.#r.smiStatus),
        write: (offset: number, _size: AccessSize, value: number): void => this.#writeSmi(offset, value),
      }
      context.mapPorts(ACPI_PM.smiCommandPort, 2, smi, { maximumAccess: 1 })
    }
  }

  #follow(): void {
    if (this.#function !== null) this.place(this.#function.base)
  }

  /** Answers at another place as well, where firmware has put the block. Null: only at `base`. */
  place(base: number | null): void {
    placeRegion(this.#placed, base ?? 0, base !== null && base !== (this.#options.base ?? ACPI_PM.base))
  }

  /** Presses the power button: an event that an OS in ACPI mode acts on, or that wakes. @returns whether one has asked for it */
  pressPowerButton(): boolean {
    return this.#press(PWRBTN)
  }

  /** Presses the sleep button, as {@link AcpiPm.pressPowerButton}. */
  pressSleepButton(): boolean {
    return this.#press(SLPBTN)
  }

  #press(button: number): boolean {
    const listens = this.isAsleep || (this.acpiMode && (this.#r.enable & button) !== 0)
    this.#r.status |= button
    this.#update()
    return listens
  }

  /** Wakes a machine that sleeps, as a key does. The guest sees a press of the power button, as with QEMU. */
  wake(): void {
    if (this.isAsleep) this.pressPowerButton()
  }

  /** Whether the machine sleeps, or is about to: resets leave the registers that the standby supply powers. */
  get isAsleep(): boolean {
    return this.#r.sleep !== undefined
  }

  /** Takes the alarm of the real-time clock. */
  rtcAlarm(): void {
    this.#r.status |= RTC
    this.#update()
  }

  /** Whether the guest has switched to ACPI mode. */
  get acpiMode(): boolean {
    return (this.#r.control & SCI_EN) !== 0
  }

  #read(offset: number, size: AccessSize): number {
    // The timer alone is read often; the rest is put together bytewise.
    if (offset === ACPI_PM.timerOffset && size === 4) return this.#counter.now() >>> 0
    this.#update()
    let value = 0
    for (let i = size - 1; i >= 0; i--) value = value * 256 + this.#readByte(offset + i)
    return value
  }

  #readByte(offset: number): number {
    const shift = 8 * (offset & 1)
    switch (offset & ~1) {
      case 0:
        return (this.#r.status >> shift) & 0xff
      case 2:
        return (this.#r.enable >> shift) & 0xff
      case 4:
        return (this.#r.control >> shift) & 0xff
      case 8:
      case 10:
        return (this.#counter.now() >>> (8 * (offset - 8))) & 0xff
      default:
        return 0
    }
  }

  #writeByte(offset: number, value: number, last: boolean): void {
    const shift = 8 * (offset & 1)
    const bits = value << shift
    const kept = 0xff00 >> shift
    this.#advance(this.#counter.now())
    switch (offset & ~1) {
      case 0:
        this.#r.status &= ~bits
        break
      case 2:
        this.#r.enable = ((this.#r.enable & kept) | bits) & ENABLE_BITS
        break
      case 4: {
        // SCI_EN is the firmware's; GBL_RLS and SLP_EN always read as zero.
        const writable = BM_RLD | SLP_TYP
        this.#r.control = (this.#r.control & (kept | ~writable)) | (bits & writable)
        if ((bits & SLP_EN) !== 0) this.#enterSleep((this.#r.control & SLP_TYP) >> SLP_TYP_SHIFT)
        break
      }
      default:
        break
    }
    if (last) this.#update()
  }

  #enterSleep(type: number): void {
    const { onSleep } = this.#options
    if (type === ACPI_PM.s5SleepType) this.#context?.requestPowerOff()
    else if (type === ACPI_PM.s3SleepType && onSleep !== undefined) {
      this.#r.sleep = 'falling'
      onSleep()
    }
  }

  #writeSmi(offset: number, value: number): void {
    if (offset === 1) {
      this.#r.smiStatus = value
      return
    }
    this.#r.smiCommand = value
    if (value === ACPI_PM.acpiEnable) this.#r.control |= SCI_EN
    else if (value === ACPI_PM.acpiDisable) this.#r.control &= ~SCI_EN
    const acpi = value === ACPI_PM.acpiEnable || value === ACPI_PM.acpiDisable
    // On another chipset `onSmi` decides whether commands are accepted.
    if (this.#function?.seesCommands ?? true) this.#options.onSmi?.(acpi)
    this.#update()
  }

  /** Takes the carry up to a tick. */
  #advance(tick: number): void {
    const carries = Math.floor(tick / CARRY_TICKS)
    if (carries !== this.#r.carries) this.#r.status |= TMR
    this.#r.carries = carries
  }

  #update(): void {
    this.#advance(this.#counter.now())
    // The buttons need no enable bits.
    if (this.#r.sleep === 'asleep' && (this.#r.status & ((this.#r.enable & RTC) | PWRBTN | SLPBTN)) !== 0) {
      this.#r.sleep = undefined
      this.#r.status |= WAK_STS
      this.#options.onWake?.()
    }
    this.#line?.set((this.#r.control & SCI_EN) !== 0 && (this.#r.status & this.#r.enable) !== 0)
    const timer = this.#timer
    if (timer === null) return
    if ((this.#r.enable & TMR) !== 0 && (this.#r.status & TMR) === 0)
      this.#counter.arm(timer, (this.#r.carries + 1) * CARRY_TICKS)
    else timer.cancel()
  }

  /** Resets the registers to power-on values, except that a sleeping machine keeps the powered ones. */
  override reset(): void {
    const { status, enable, control } = this.#r
    const carries = Math.floor(this.#counter.now() / CARRY_TICKS)
    Object.assign(this.#r, POWER_ON, { control: this.#initialControl, carries })
    if (this.isAsleep) {
      this.#r.status = status & STANDBY_BITS
      this.#r.enable = enable & STANDBY_BITS
      this.#r.control = control & (SLP_TYP | SCI_EN)
      this.#r.sleep = 'asleep'
    }
    this.#follow()
    this.#update()
  }

  /** Returns the state as plain data. */
  override save(): PlainState {
    this.#advance(this.#counter.now())
    return { ...super.save(), status: this.#r.status & STATUS_BITS }
  }
}
