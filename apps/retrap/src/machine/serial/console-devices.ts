import { checkedProperties, virtioPlaceOf, type VirtioArgument } from '../devices/pci-devices.ts'
import { type DeviceArgument, usage } from '../../options/values.ts'
import type { ChardevArgument } from './serial-options.ts'

/** A controller with consoles and ports, each of which names a `--chardev`. */
type ConsoleArgument = Extract<VirtioArgument, { readonly kind: 'console' }>

const CONTROLLER = 'virtio-serial-pci'
const PORTS: readonly string[] = ['virtconsole', 'virtserialport']

/** A parsed `--device` that is a port. */
interface ReadPort {
  readonly bus: string
  readonly port: ConsoleArgument['ports'][number]
}

/**
 * Returns the controllers of `--device virtio-serial-pci`, each with its ports.
 *
 * @throws CliError `ERR_USAGE` for a port without controller or stream, and for a controller or stream without a port
 */
export function listConsoles({
  chardev = [],
  device = [],
}: {
  readonly chardev?: readonly ChardevArgument[]
  readonly device?: readonly DeviceArgument[]
}): readonly ConsoleArgument[] {
  const same = chardev.find(({ id }, i) => chardev.findIndex((one) => one.id === id) < i)
  if (same !== undefined) throw usage(`two --chardev have the id '${same.id}'; give each its own`)
  const used = new Set<string>()
  const controllers = device
    .filter(({ name }) => name === CONTROLLER)
    .map((argument) => ({ argument, properties: checkedProperties(argument), ports: [] as ReadPort['port'][] }))
  for (const argument of device.filter(({ name }) => PORTS.includes(name))) {
    const { bus, port } = readPort(argument, chardev)
    if (used.has(port.chardev))
      throw usage(`--device ${argument.name}: chardev '${port.chardev}' belongs to another device already`)
    used.add(port.chardev)
    // The first controller takes a port that names no bus, as in QEMU.
    const controller = controllers.find(({ properties }) => bus === '' || `${properties.text('id', '')}.0` === bus)
    if (controller === undefined) {
      const [id = ''] = bus.split('.')
      throw usage(`--device ${argument.name} needs a controller; write --device ${CONTROLLER}${id && `,id=${id}`}`)
    }
    if (port.name !== undefined && controller.ports.some(({ name }) => name === port.name))
      throw usage(`--device ${argument.name}: there is a port named '${port.name}' already`)
    controller.ports.push(port)
  }
  const lost = chardev.find(({ id }) => !used.has(id))
  if (lost !== undefined)
    throw usage(`--chardev ${lost.id}: no device uses it; write --device virtserialport,chardev=${lost.id},name=NAME`)
  return controllers.map(({ argument, properties, ports }) => {
    if (ports.length === 0)
      throw usage(`--device ${CONTROLLER} has no ports; write --device virtserialport,chardev=ID,name=NAME`)
    // A driver that knows of one port alone takes number 0 for a console.
    const first = Math.max(
      0,
      ports.findIndex((port) => port.console),
    )
    return {
      kind: 'console',
      ...virtioPlaceOf(argument, properties),
      ports: [ports[first]!, ...ports.toSpliced(first, 1)],
    }
  })
}

function readPort(argument: DeviceArgument, chardevs: readonly ChardevArgument[]): ReadPort {
  const properties = checkedProperties(argument)
  const chardev = properties.text('chardev', '')
  if (!chardevs.some(({ id }) => id === chardev))
    throw usage(
      `--device ${argument.name}: there is no chardev '${chardev}'; write --chardev socket,id=${chardev || 'NAME'},path=PATH,server=on`,
    )
  const name = argument.properties.get('name') ?? argument.properties.get('portname')
  return {
    bus: properties.text('bus', ''),
    port: { chardev, console: argument.name === 'virtconsole', ...(name !== undefined && { name }) },
  }
}
