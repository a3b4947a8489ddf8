import type { DeviceModel, InputBackend } from '@retrap/device'
import { Keyboard, Mouse, type Screen } from '@retrap/display'
import type { DomainServer, OutsideInputs } from '@retrap/hvm'
import type { ArmDomain } from '@retrap/hvm/arm'
import { placeDevices } from '../kinds/device-kinds.ts'
import type { PlacedDevices, PlaceDevices } from '../kinds/placed-devices.ts'
import type { PcBootOptions, PcDrive } from '../options/drives.ts'
import { InputSwitch, type InputSwitches } from '../input/input-switch.ts'
import type { PcNetworkCard } from '../options/network-card.ts'
import type { StartDeviceServer } from '../life/machine-life.ts'
import type { PcOptions } from '../options/pc-options.ts'
import { PciSlots, wantedSlots } from '../devices/pci-slots.ts'
import { type RemovableDrive, withTrays } from '../devices/removable-drive.ts'
import type { PcRootPort, PcSoundDevice, PcUsb } from '../options/pci-options.ts'
import { hasVga } from '../options/vga.ts'
import type { PcVirtioDevice } from '../options/virtio-device.ts'
import type { StartArmBoardServer } from './placed-board.ts'

/** Devices on the PCI bus of an Arm board; they are the same as a PC's. */
export interface ArmPciOptions {
  /**
   * Disks and CD drives: at most six of a SATA controller, which the machine has only for them, virtio disks, NVMe drives,
   * drives of a SCSI controller, and sticks of the USB controller.
   */
  readonly drives?: readonly PcDrive[] | undefined
  /** Virtio devices, each on the PCI bus. */
  readonly virtio?: readonly PcVirtioDevice[] | undefined
  /** Root ports of PCI Express; a device on the PCI bus is behind one by `port`. */
  readonly rootPorts?: readonly PcRootPort[] | undefined
  /** Sound devices, each on the PCI bus. */
  readonly sound?: readonly PcSoundDevice[] | undefined
  /** Network cards that are not virtio devices, each on the PCI bus. */
  readonly networkCards?: readonly PcNetworkCard[] | undefined
  /** A USB controller (xHCI) with what is plugged into it, beside the drives of `interface: 'usb'`. */
  readonly usb?: PcUsb | undefined
  /** The machine's keyboard; default one of its own with the layout `us`. */
  readonly keyboard?: Keyboard | undefined
  /** The machine's mouse; default one of its own. */
  readonly mouse?: Mouse | undefined
  /**
   * The graphics card: none (default), `std`, which Linux has a driver for, or `ramfb`, a picture in guest RAM, which UEFI
   * firmware draws and hands on.
   */
  readonly vga?: 'std' | 'ramfb' | 'none' | undefined
  /** The mode that the monitor of `vga: 'std'` prefers; null: it says nothing. Default 1280 by 800. */
  readonly preferredMode?: { readonly width: number; readonly height: number } | null | undefined
  /** The screen that a graphics card draws on; default a screen of its own. */
  readonly screen?: Screen | undefined
  /** The devices that firmware boots from. */
  readonly boot?: PcBootOptions | undefined
}

/** The back ends of an Arm board that is recorded. */
export interface ArmBackEnds extends Pick<ArmPciOptions, 'drives' | 'networkCards' | 'virtio'> {
  /** Servers of the caller's models. */
  readonly deviceServers?: readonly StartDeviceServer[] | undefined
}

/** Stands between an Arm board and what is outside of it, so that inputs enter at instants of their own. See {@link recordArmMachine}. */
export interface ArmGate {
  /** The run is recorded, and not a recorded one. */
  readonly isRecording: boolean
  /** Says when inputs enter. */
  readonly inputs: OutsideInputs
  /** Takes the domain, when it is made. */
  start(domain: ArmDomain): void
  /** Puts itself before back ends. */
  options(backEnds: ArmBackEnds): ArmBackEnds
  /** Puts itself before the board's models, which are in another thread. */
  board(start: StartArmBoardServer): StartArmBoardServer
  /** Divides models of this thread: those that run again in a replay, and the server of the others. */
  place(
    domain: ArmDomain,
    models: readonly DeviceModel[],
    runsAgain: (model: DeviceModel) => boolean,
  ): { readonly models: readonly DeviceModel[]; readonly server?: DomainServer }
  /** Intercepts the input of a serial port. @returns a function that takes the bytes of the other end */
  serial(port: number | 'xen', receive: (bytes: Uint8Array) => void): (bytes: Uint8Array) => void
  /** Puts itself before a keyboard or a mouse. */
  input(which: 'keyboard' | 'mouse', backend: InputBackend): InputBackend
  /** Puts itself before a button. @returns presses it, and resolves when that has entered the machine */
  button(press: () => boolean | Promise<boolean>): () => Promise<boolean>
}

/** The host bridge has the first number, and the SATA controller the last. */
const FIRST_FREE_SLOT = 1
const LAST_FREE_SLOT = 30
const SATA = { device: 31, function: 0 } as const
/** The graphics card, where there is one. */
const VGA_SLOT = LAST_FREE_SLOT

/** The options of a PC that has the same devices; SATA and root ports are those of a `q35`. */
export function pciOptions(given: ArmPciOptions & Pick<PcOptions, 'memoryBytes'>): PcOptions {
  const { memoryBytes, drives, virtio, rootPorts, sound, networkCards, usb, keyboard, mouse } = given
  const { vga = 'none', preferredMode, screen, boot } = given
  const options = { drives, virtio, rootPorts, sound, networkCards, usb, keyboard, mouse, preferredMode, screen, boot }
  return { memoryBytes, ...options, machine: 'q35', vga }
}

/** The devices of an Arm board that has been composed. */
export interface ArmPciDevices extends Required<PlacedDevices> {
  readonly keyboard: Keyboard
  readonly mouse: Mouse
  readonly removable: readonly RemovableDrive[]
  /** Where input goes. */
  readonly inputs: InputSwitches
  /** All drives, with the media that are in them at any time. */
  readonly drives: readonly PcDrive[]
}

/**
 * Makes the devices on the PCI bus; they are not attached yet.
 *
 * @throws MachineError `ERR_OPTION`
 */
export function placeArmDevices(
  domain: ArmDomain,
  given: PcOptions,
  parts: {
    readonly kinds: readonly PlaceDevices[]
    readonly random: () => number
    readonly screen: Screen
    readonly gate?: ArmGate | undefined
  },
): ArmPciDevices {
  const wake = (): void => domain.wake()
  const { drives, removable } = withTrays(given.drives ?? [], wake)
  const { gate } = parts
  const connected = { ...given, ...(given.drives !== undefined && { drives }) }
  const options = { ...connected, ...gate?.options(connected) }
  const { keyboard = new Keyboard(), mouse = new Mouse() } = options
  const inputs = {
    keyboard: new InputSwitch(gate?.input('keyboard', keyboard) ?? keyboard, { wake }),
    mouse: new InputSwitch(gate?.input('mouse', mouse) ?? mouse, { wake }),
  }
  const slots = new PciSlots(FIRST_FREE_SLOT, wantedSlots(options), LAST_FREE_SLOT)
  const devices = placeDevices(parts.kinds, {
    options,
    slots,
    sata: SATA,
    ...(hasVga(options) && { vga: { device: slots.take('vga', VGA_SLOT) } }),
    random: parts.random,
    ...inputs,
    screen: parts.screen,
    inSystemManagement: () => false,
    flash: [],
  })
  return { ...devices, keyboard, mouse, inputs, removable, drives }
}
