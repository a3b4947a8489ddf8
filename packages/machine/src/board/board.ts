import {
  AcpiPm,
  HostBridge,
  Hpet,
  I8042,
  I8254,
  IchLpc,
  IsaBridge,
  MchHostBridge,
  Mc146818,
  PostCodePort,
  ResetControl,
  Uart16550,
  XenPlatform,
  type EcamPlacement,
  type FwCfg,
  type ShadowRange,
  type SmramSettings,
  type FwCfgItem,
} from '@retrap/devices'
import type { DeviceModel, InputBackend, InterruptLine } from '@retrap/device'
import { placeEcam } from './board-description.ts'
import { firmwareConfiguration, replaceAcpi, type FirmwareConfiguration } from '../firmware/firmware-configuration.ts'
import type { PcMemoryMap } from '../loaders/index.ts'
import { wallSeconds } from '../life/host.ts'
import { CHIPSETS, type MachineType } from '../machine-type.ts'
import { ramfbFile } from '../firmware/ramfb-file.ts'
import type { SystemManagementHooks } from '../firmware/smram.ts'
import { FarStream } from '../back-ends/streams.ts'
import { SERIAL_PORTS } from './serial-port.ts'

/** PCI device number of Xen's platform device, as in machines of its own. */
const XEN_PLATFORM_DEVICE = 2

/** A PC's board as plain data, so that it can be built in another thread than the machine's. */
export interface BoardDescription {
  /** Which board it is. */
  readonly machine: MachineType
  /** How the memory is laid out. */
  readonly map: PcMemoryMap
  /** Number of processors. */
  readonly cpus: number
  /** Wall-clock time at power-on, seconds from 1970. */
  readonly epochSeconds: number
  /** Its wall clock is the host's: a machine that is restored later shows a later time. */
  readonly followsHost: boolean
  /** The content of fw_cfg. */
  readonly configuration: FirmwareConfiguration
  /** Whether firmware runs first. */
  readonly firmware: boolean
  /** Number of serial ports. */
  readonly serialPorts: number
  /** Types of its floppy drives, as CMOS has them. */
  readonly floppies: readonly number[]
  /** Whether the board has Xen's platform device. */
  readonly xen: boolean
  /** Whether the board has system-management mode; default false. */
  readonly smm?: boolean
  /** Whether the guest may say where in RAM its picture is; default false. */
  readonly ramfb?: boolean
  /** Whether somebody hears the PC speaker; default false. */
  readonly speaker?: boolean
}

/** Where the board's models reach out of their device contexts. */
export interface BoardHooks extends SystemManagementHooks {
  /** The output of a serial port, counted from 0. */
  transmit(port: number, bytes: Uint8Array): void
  /** A serial port has taken so many of the bytes that were queued for it. */
  taken(port: number, count: number): void
  /** Firmware has changed how a range below 1 MiB is backed. */
  shadow(range: ShadowRange): void
  /** The guest has put PCI Express configuration space here; null: it is off. */
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

/** Where the board's input comes from. */
export interface BoardInput {
  readonly keyboard: InputBackend
  readonly mouse: InputBackend
}

/** The models of a PC's board, in the order to attach them in. */
export interface Board {
  readonly models: readonly DeviceModel[]
  /** In the order of the serial ports. */
  readonly uarts: readonly Uart16550[]
  /** Far ends, in the same order. */
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

/** Makes the models of a board. */
export function createBoard(description: BoardDescription, hooks: BoardHooks, input: BoardInput): Board {
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
  const smiFeatures = new SmiFeatures()
  const smiFiles = description.smm === true && description.machine === 'q35' ? smiFeatures.files : {}
  const ramfb = description.ramfb === true && ramfbFile((bytes) => hooks.ramfb(bytes))
  const fwCfg = firmwareConfiguration(configuration, { ...smiFiles, ...ramfb })
  const { bridges, isaBridge, pm } = createChipset(description, fwCfg, hooks, smiFeatures)
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
  ]
  if (description.xen) models.push(new XenPlatform({ device: XEN_PLATFORM_DEVICE }))
  return {
    models,
    uarts,
    serialStreams,
    isaBridge,
    pressPowerButton: () => pm.pressPowerButton(),
    pressSleepButton: () => {
      const isAwake = !pm.isAsleep
      const listens = pm.pressSleepButton()
      // A machine that was restored has been away: its guest sees that while it sleeps.
      if (listens && isAwake) rtc.hideAbsence()
      return listens
    },
    wake: () => pm.wake(),
  }
}

/** The models that differ from board to board. */
interface ChipsetModels {
  readonly bridges: readonly DeviceModel[]
  readonly isaBridge: InterruptInputs
  readonly pm: AcpiPm
}

function createChipset(
  { machine, firmware, configuration, smm = false, xen }: BoardDescription,
  fwCfg: FwCfg,
  hooks: BoardHooks,
  smiFeatures: SmiFeatures,
): ChipsetModels {
  const onShadow = (range: ShadowRange): void => hooks.shadow(range)
  const isAsleep = (): boolean => pm.isAsleep
  const sleep = !xen && { onSleep: () => hooks.sleep(), onWake: () => hooks.wake() }
  const onSmram = smm && { onSmram: (settings: SmramSettings) => hooks.smram(settings) }
  const { isaBridgeDevice, ecam } = CHIPSETS[machine]
  let pm: AcpiPm
  if (ecam === undefined) {
    const isaBridge = new IsaBridge({ device: isaBridgeDevice })
    // Firmware looks for it on the PCI bus; kernels find it by their tables.
    pm = new AcpiPm({
      ...sleep,
      ...(firmware && { pciDevice: isaBridgeDevice }),
      ...(smm && { onSmi: (acpi: boolean) => !acpi && hooks.smi(false) }),
    })
    return { bridges: [new HostBridge({ onShadow, isAsleep, ...onSmram }), isaBridge], isaBridge, pm }
  }
  const onEcam = (placement: EcamPlacement | null): void => {
    hooks.ecam(placement)
    // Firmware reads the tables after it has placed what they tell of.
    if (placement !== null) replaceAcpi(fwCfg, placeEcam(configuration.board, placement))
  }
  const onSmi = (): void => {
    if (isaBridge.seesCommands) hooks.smi(smiFeatures.broadcast)
  }
  pm = new AcpiPm({ movable: true, ...sleep, ...(smm && { onSmi }) })
  const isaBridge = new IchLpc({ onPmBase: (base) => pm.place(base), smm })
  const mch = new MchHostBridge({ onShadow, isAsleep, onEcam, ...onSmram, ...(!firmware && { ecamBase: ecam.base }) })
  return { bridges: [mch, isaBridge], isaBridge, pm }
}

const FEATURES_BYTES = 8
/** An SMI by the command port reaches all processors, not the one alone that writes. */
const BROADCAST = 1 << 0
const SUPPORTED = BROADCAST

/**
 * The agreement of firmware and chipset on SMIs: firmware writes the features that it wants, and selects `features-ok`, which
 * then holds 1 if all of them are supported. From then on it is settled, until the machine is reset.
 *
 * Source: QEMU, docs/specs, "etc/smi" items of fw_cfg; OVMF reads and writes them.
 */
export class SmiFeatures {
  #requested: Uint8Array = new Uint8Array(FEATURES_BYTES)
  #settled = false

  /** Whether an SMI of the command port reaches all processors. */
  get broadcast(): boolean {
    return this.#settled && (this.#requested[0]! & BROADCAST) !== 0
  }

  /** Items of fw_cfg. A restored machine has those that are requested first. */
  readonly files: Readonly<Record<string, FwCfgItem>> = {
    'etc/smi/requested-features': {
      bytes: new Uint8Array(FEATURES_BYTES),
      writable: true,
      onWrite: (bytes) => {
        // A settled choice stays.
        if (this.#settled) bytes.set(this.#requested)
        else this.#requested = bytes.slice()
      },
      onReset: (bytes) => {
        this.#requested = bytes.fill(0).slice()
      },
    },
    'etc/smi/features-ok': {
      bytes: Uint8Array.of(0),
      onSelect: (bytes) => this.#settle(bytes),
      onWrite: ([ok]) => (this.#settled = ok !== 0),
      onReset: (bytes) => {
        bytes[0] = 0
        this.#settled = false
      },
    },
    'etc/smi/supported-features': { bytes: Uint8Array.of(SUPPORTED, 0, 0, 0, 0, 0, 0, 0) },
  }

  #settle(ok: Uint8Array): void {
    const [low = 0, ...rest] = this.#requested
    if (this.#settled || (low & ~SUPPORTED) !== 0 || rest.some((byte) => byte !== 0)) return
    ok[0] = 1
    this.#settled = true
  }
}
