import { type UsbDevice, UsbKeyboard, UsbPointer, UsbStorage, Xhci } from '@retrap/usb'
import type { DeviceSite, PlacedDevices } from './placed-devices.ts'
import { type BootPath, drivesOf, type MachineDrive } from '../options/drives.ts'
import { MachineError } from '../errors.ts'
import { type MachineUsb, type MachineUsbDevice, usbControllers } from '../options/pci-options.ts'

type UsbSite = Pick<DeviceSite, 'options' | 'slots' | 'keyboard' | 'mouse'>

/**
 * Makes the USB controllers; the first has a stick for each drive of `interface: 'usb'`.
 *
 * @throws MachineError `ERR_OPTION`
 */
export function place(site: UsbSite): PlacedDevices {
  const [first = {}, ...others] = usbControllers(site.options)
  const placed = [
    placeOne(site, first, drivesOf(site.options.drives, 'usb')),
    ...others.map((one) => placeOne(site, one)),
  ]
  const models = placed.map(({ model }) => model)
  return { models, fromHost: placed.flatMap(({ fromHost }) => fromHost), bootPaths: placed[0]!.bootPaths }
}

function placeOne({ slots, keyboard, mouse }: UsbSite, usb: MachineUsb, drives: readonly MachineDrive[] = []) {
  const { ports, devices = [] } = usb
  const at = slots.place('usb', usb)
  const sticks = drives.map((drive, i) => makeStick(drive, `usb-storage-${i + 1}`))
  const isOwn = devices.some(({ kind }) => kind === 'device')
  const make = (device: MachineUsbDevice, i: number): UsbDevice => {
    const number = sticks.length + i + 1
    if (device.kind === 'device') return device.device
    const shared = device.kind === 'keyboard' ? keyboard : mouse
    const input = isOwn ? shared.joinOutside() : shared.join()
    if (device.kind === 'keyboard') return new UsbKeyboard({ input, name: `usb-kbd-${number}` })
    return new UsbPointer({ kind: device.kind, input, name: `usb-${device.kind}-${number}` })
  }
  const model = new Xhci({
    device: at.device,
    name: `xhci-${at.label}`,
    bus: at.bus,
    ports,
    devices: [...sticks, ...devices.map(make)],
  })
  const path = (i: number): string => `${at.path('usb')}/storage@${i + 1}/channel@0/disk@0,0`
  return { model, fromHost: isOwn ? [model] : [], bootPaths: drives.map((drive, i): BootPath => [drive, path(i)]) }
}

function makeStick({ medium, media, serialNumber, model }: MachineDrive, name: string): UsbStorage {
  if (medium === null)
    throw new MachineError('ERR_OPTION', `${name}: a disk has a medium; only a CD drive may have none`)
  return new UsbStorage({ medium, name, kind: media ?? 'disk', serialNumber, model })
}
