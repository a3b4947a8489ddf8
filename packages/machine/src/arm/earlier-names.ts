import type { MachineOptions } from '../options/machine-options.ts'

/**
 * Devices on the PCI bus of an Arm board.
 *
 * @deprecated {@link MachineOptions} has them. This name goes with the release after the next one.
 */
export type ArmPciOptions = Pick<
  MachineOptions,
  | 'drives'
  | 'virtio'
  | 'rootPorts'
  | 'sound'
  | 'networkCards'
  | 'usb'
  | 'keyboard'
  | 'mouse'
  | 'vga'
  | 'preferredMode'
  | 'screen'
  | 'boot'
>

/**
 * Back ends of an Arm board that is recorded.
 *
 * @deprecated {@link MachineOptions} has them. This name goes with the release after the next one.
 */
export type ArmBackEnds = Pick<MachineOptions, 'drives' | 'networkCards' | 'virtio' | 'deviceServers'>
