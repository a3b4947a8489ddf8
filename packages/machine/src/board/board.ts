import {
  Hpet,
  I8042,
  I8254,
  Mc146818,
  PostCodePort,
  ResetControl,
  Uart16550,
  type AcpiPm,
  type EcamPlacement,
  type FwCfgItem,
  type ShadowRange,
  type SmramSettings,
} from '@retrap/devices'
import type { DeviceModel, InputBackend, InterruptLine } from '@retrap/device'
import { placeEcam } from './board-description.ts'
import { firmwareConfiguration, replaceAcpi, type FirmwareConfiguration } from '../firmware/firmware-configuration.ts'
import type { PcMemoryMap } from '../loaders/index.ts'
import { wallSeconds } from '../lifecycle/host.ts'
import type { MachineType } from '../machine-type.ts'
import { ramfbFile } from '../firmware/ramfb-file.ts'
import { FarStream } from '../back-ends/streams.ts'
import { SERIAL_PORTS } from './serial-port.ts'

/** A PC's board as plain data, so that it can be built in another thread than the machine's. */
export interface BoardDescription {
  /** The type of board. */
  readonly machine: MachineType
  /** Layout of the guest's memory. */
  readonly map: PcMemoryMap
  /** Number of processors. */
  readonly cpus: number
  /** Wall-clock time at power-on, seconds from 1970. */
  readonly epochSeconds: number
  /** Whether the wall clock is the host's: a machine that is restored later shows a later time. */
  readonly followsHost: boolean
  /** The content of fw_cfg. */
  readonly configuration: FirmwareConfiguration
  /** Whether firmware runs first. */
  readonly firmware: boolean
  /** Number of serial ports. */
  readonly serialPorts: number
  /** Types of the floppy drives, as encoded in CMOS. */
  readonly floppies: readonly number[]
  /** Whether the board has Xen's platform device. */
  readonly xen: boolean
  /** Whether the guest may say where in RAM its picture is; default false. */
  readonly ramfb?: boolean
  /** Whether the PC speaker has a listener; default false. */
  readonly speaker?: boolean
}

/** The parts of a machine that a chipset with system-management mode calls. */
export interface SystemManagement {
  /** Called when the guest has changed the visibility of SMRAM. */
  apply(settings: SmramSettings): void
  /** Asserts SMI# of the processor that writes to the chipset, or of all. */
  smi(broadcast: boolean): void
}

/** Callbacks of the board's models beyond their device contexts. */
export interface BoardHooks {
  /** Absent: the board has no system-management mode. An SMI comes right after the instruction that causes it, in this thread. */
  readonly systemManagement?: SystemManagement | undefined
  /** The output of a serial port, counted from 0. */
  transmit(port: number, bytes: Uint8Array): void
  /** A serial port has taken `count` of the queued bytes. */
  taken(port: number, count: number): void
  /** Firmware has changed how a range below 1 MiB is backed. */
  shadow(range: ShadowRange): void
  /** Called when the guest has placed PCI Express configuration space; null: it is off. */
  ecam(placement: EcamPlacement | null): void
  /** Address line 20 works, or is held low. */
  a20(works: boolean): void
  /** The guest asks to sleep in S3. */
  sleep(): void
  /** The machine, which sleeps, is to wake. */
  wake(): void
  /** The guest has written to `etc/ramfb`. */
  ramfb(configuration: Uint8Array): void
  /** The PC speaker plays. The samples are valid until the call returns. */
  speaker(samples: Int16Array): void
}

/** The board's sources of input. */
export interface BoardInput {
  readonly keyboard: InputBackend
  readonly mouse: InputBackend
}

/** The models of a PC's board, in the order to attach them in. */
export interface Board {
  readonly models: readonly DeviceModel[]
  /** The UARTs, in the order of the serial ports. */
  readonly uarts: readonly Uart16550[]
  /** Far ends of the serial ports, in the order of the ports. */
  readonly serialStreams: readonly FarStream[]
  readonly isaBridge: InterruptInputs
  /** @returns whether the guest has asked for the button's event */
  readonly pressPowerButton: () => boolean
  /** @returns whether the guest has asked for the button's event */
  readonly pressSleepButton: () => boolean
  /** Wakes a machine that sleeps, as a key does. */
  readonly wake: () => void
}

/** The wires of PCI functions' interrupt pins. */
interface InterruptInputs {
  interruptInput(device: number, pin: number): InterruptLine
}

/** The models that differ from board to board. */
export interface Chipset {
  readonly bridges: readonly DeviceModel[]
  readonly isaBridge: InterruptInputs
  readonly pm: AcpiPm
  /** Models that come last. */
  readonly others?: readonly DeviceModel[]
  /** Items of fw_cfg. */
  readonly files?: Readonly<Record<string, FwCfgItem>>
}

/** Makes a chipset. @param onEcam - firmware has placed PCI Express configuration space */
export type CreateChipset = (
  description: BoardDescription,
  hooks: BoardHooks,
  onEcam: (placement: EcamPlacement) => void,
) => Chipset

/** Makes the models of a board. */
export function createBoard(
  description: BoardDescription,
  createChipset: CreateChipset,
  hooks: BoardHooks,
  input: BoardInput,
): Board {
  const { map, cpus, floppies, epochSeconds, configuration, serialPorts } = description
  const { lowRamBytes, highRamBytes } = map
  const pit = new I8254(description.speaker === true ? { speaker: { play: (samples) => hooks.speaker(samples) } } : {})
  const rtc = new Mc146818({
    epochSeconds,
    ...(description.followsHost && { wallClock: wallSeconds }),
    lowRamBytes,
    highRamBytes,
    cpus,
    floppies,
    onAlarm: () => pm.rtcAlarm(),
    isAsleep: () => pm.isAsleep,
  })
  const ports = SERIAL_PORTS.slice(0, serialPorts)
  const serialStreams = ports.map(
    (_port, index) =>
      new FarStream(
        (bytes) => hooks.transmit(index, bytes),
        (count) => hooks.taken(index, count),
      ),
  )
  const uarts = ports.map((port, index) => new Uart16550({ ...port, stream: serialStreams[index]! }))
  const ramfb = description.ramfb === true && ramfbFile((bytes) => hooks.ramfb(bytes))
  const {
    bridges,
    isaBridge,
    pm,
    files,
    others = [],
  } = createChipset(description, hooks, (ecam) => {
    // Firmware may place PCI Express configuration space first; then it reads tables with that address.
    replaceAcpi(fwCfg, placeEcam(configuration.board, ecam))
  })
  const fwCfg = firmwareConfiguration(configuration, { ...files, ...ramfb })
  let a20 = true
  const onA20 = (works: boolean): void => {
    a20 = works
    hooks.a20(works)
  }
  const models: DeviceModel[] = [
    ...bridges,
    pit,
    rtc,
    new Hpet({ legacySources: [pit, rtc] }),
    pm,
    ...uarts,
    new I8042({ ...input, onA20 }),
    new ResetControl({ onA20, a20: () => a20 }),
    new PostCodePort(),
    fwCfg,
    ...others,
  ]
  return {
    models,
    uarts,
    serialStreams,
    isaBridge,
    pressPowerButton: () => pm.pressPowerButton(),
    pressSleepButton: () => {
      const isAwake = !pm.isAsleep
      const listens = pm.pressSleepButton()
      // A restored machine hides its absence from the RTC, unless the guest sleeps: a waking guest expects a gap.
      if (listens && isAwake) rtc.hideAbsence()
      return listens
    },
    wake: () => pm.wake(),
  }
}
