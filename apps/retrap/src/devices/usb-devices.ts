import type { PcOptions } from '@retrap/machine'
import type { DriveArgument } from '../drives/drives.ts'
import { checkedProperties, placeOf } from './pci-devices.ts'
import { usage, type DeviceArgument } from '../options/values.ts'

type PcUsb = NonNullable<PcOptions['usb']>

const CONTROLLER = 'qemu-xhci'
const KINDS: Readonly<Record<string, 'keyboard' | 'mouse' | 'tablet'>> = {
  'usb-kbd': 'keyboard',
  'usb-mouse': 'mouse',
  'usb-tablet': 'tablet',
}

/**
 * The USB controller that was asked for, and what is plugged into it.
 *
 * @param drives - those that `--device usb-storage` has taken are among them
 * @returns undefined where there is none
 * @throws CliError `ERR_USAGE`
 */
export function usbController(
  devices: readonly DeviceArgument[] = [],
  drives: readonly DriveArgument[] = [],
): PcUsb | undefined {
  const controllers = devices.filter(({ name }) => name === CONTROLLER)
  const plugged = devices.filter(({ name }) => Object.hasOwn(KINDS, name))
  for (const argument of plugged) checkedProperties(argument)
  const stick = drives.find((drive) => drive.interface === 'usb')
  const [controller, second] = controllers
  if (second !== undefined) throw usage(`--device ${CONTROLLER} is given twice; it has up to 15 ports: write p2=15`)
  if (controller === undefined) {
    const first = plugged[0]?.name ?? (stick === undefined ? undefined : 'usb-storage')
    if (first !== undefined) throw usage(`--device ${first} needs a controller; write --device ${CONTROLLER} before it`)
    return undefined
  }
  const properties = checkedProperties(controller)
  const given = ['p2', 'p3'].filter((key) => controller.properties.has(key))
  const ports = Math.max(...given.map((key) => properties.whole(key, 4, 15, 1)))
  const sticks = drives.filter((drive) => drive.interface === 'usb').length
  const count = plugged.length + sticks
  const most = given.length > 0 ? ports : 15
  if (count > most) throw usage(`--device ${CONTROLLER}: ${count} devices are plugged in; it has ${most} ports`)
  return {
    ...placeOf(controller),
    ...(given.length > 0 && { ports }),
    devices: plugged.map(({ name }) => ({ kind: KINDS[name]! })),
  }
}
