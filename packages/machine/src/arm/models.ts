import type { ByteStreamBackend, DeviceModel } from '@retrap/device'
import { EcamHostBridge, Pl011, Pl031, Pl061 } from '@retrap/devices/arm'
import { EmptyVirtioMmio, type VirtioDevice, VirtioMmio } from '@retrap/virtio'
import { MachineError } from '../errors.ts'
import { armFirmwareConfiguration, type ArmFirmwareSettings } from './firmware-configuration.ts'
import { type ArmBoard, checkArmBoard, gsiOfSpi, POWER_BUTTON_LINE, VIRT } from './layout.ts'

/** The options of {@link createArmModels}. */
export interface ArmModelsOptions extends ArmBoard {
  /** Wall-clock time at power-on, seconds from 1970. */
  readonly epochSeconds: number
  /** The host's wall clock, which a machine that is restored later shows; see `Pl031Options.wallClock`. */
  readonly wallClock?: (() => number) | undefined
  /** The other end of the serial port; default nothing is connected. */
  readonly serial?: ByteStreamBackend | undefined
  /** Devices of the virtio transports, from the first on; default none. */
  readonly virtio?: readonly VirtioDevice[] | undefined
  /** The settings for firmware beside the board. */
  readonly firmware?: ArmFirmwareSettings | undefined
}

/** The models of an Arm board. Their interrupt lines are interrupt numbers of the GIC. */
export interface ArmBoardModels {
  /** Models in the order of attachment. */
  readonly models: readonly DeviceModel[]
  /** Host bridge, which wires PCI functions' interrupt pins. */
  readonly hostBridge: EcamHostBridge
  /** The serial port. */
  readonly uart: Pl011
  /**
   * Presses the power button.
   *
   * @returns whether the guest has asked for its event
   */
  pressPowerButton(): boolean
}

/**
 * Makes the models of the board `virt` that lie outside of the processors and the GIC: UART, clock, GPIO, fw_cfg, virtio
 * transports and the PCI Express host bridge. Configuration space of PCI is an `ecam` window of the dispatcher at `VIRT.pcie`.
 *
 * @throws MachineError `ERR_CPUS`, `ERR_MEMORY_SIZE`, `ERR_OPTION` for more virtio devices than transports
 */
export function createArmModels(options: ArmModelsOptions): ArmBoardModels {
  const transports = createArmTransports(options.virtio)
  const board = createArmBoardModels(options)
  return { ...board, models: [...board.models, ...transports] }
}

/** Makes the virtio transports, whose devices are the caller's. @throws as createArmModels */
export function createArmTransports(virtio: readonly VirtioDevice[] = []): readonly DeviceModel[] {
  const { count, base, bytes, spi } = VIRT.virtio
  if (virtio.length > count)
    throw new MachineError('ERR_OPTION', `${virtio.length} virtio devices: expected at most ${count}`)
  const transports = virtio.map((device, i) => new VirtioMmio(device, placed({ base: base + i * bytes, spi: spi + i })))
  return [...transports, new EmptyVirtioMmio({ base, count })]
}

/**
 * Makes the others, which can live in another thread, since they are connected with nothing but the serial port: PCI Express
 * host bridge, UART, clock, GPIO and fw_cfg.
 *
 * @throws as createArmModels
 */
export function createArmBoardModels(options: Omit<ArmModelsOptions, 'virtio'>): ArmBoardModels {
  checkArmBoard(options)
  const { epochSeconds, serial, wallClock } = options
  const uart = new Pl011({ ...placed(VIRT.uart), ...(serial !== undefined && { stream: serial }) })
  const gpio = new Pl061(placed(VIRT.gpio))
  const hostBridge = new EcamHostBridge({ irq: gsiOfSpi(VIRT.pcie.spi) })
  const models = [
    hostBridge,
    uart,
    new Pl031({ ...placed(VIRT.rtc), epochSeconds, ...(wallClock && { wallClock }) }),
    gpio,
    armFirmwareConfiguration(options, options.firmware),
  ]
  return { models, hostBridge, uart, pressPowerButton: () => gpio.press(POWER_BUTTON_LINE) }
}

const placed = ({ base, spi }: { readonly base: number; readonly spi: number }): { base: number; irq: number } => ({
  base,
  irq: gsiOfSpi(spi),
})
