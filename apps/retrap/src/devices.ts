import type { DeviceModel } from '@retrap/ioreq'
import { debugConsole, isaDebugExit } from '@retrap/devices'
import { openSync, writeSync } from 'node:fs'
import { CliError } from './cli-error.ts'
import type { SessionOutput } from './session.ts'
import { parseWhole, usage, type DeviceArgument } from './values.ts'

/** Where a device's text may go. */
export interface DeviceHost {
  readonly stdout: SessionOutput
  readonly stderr: SessionOutput
}

/** One `--device` that we have: QEMU's name, what its properties are, and how to make it. */
interface DeviceKind {
  readonly summary: string
  readonly properties: Readonly<Record<string, string>>
  create(properties: Properties, host: DeviceHost): DeviceModel
}

const KINDS: Readonly<Record<string, DeviceKind>> = {
  'isa-debug-exit': {
    summary: 'a write of v ends the process with (v << 1) | 1',
    properties: { iobase: 'first port, 0x501', iosize: 'ports, 1 to 4: 2' },
    create: (properties) =>
      isaDebugExit({ iobase: properties.whole('iobase', 0x501, 0xffff), iosize: properties.whole('iosize', 2, 4, 1) }),
  },
  'isa-debugcon': {
    summary: 'each byte written to its port is printed',
    properties: { iobase: 'port, 0xe9', readback: 'what a read returns, 0xe9', chardev: 'stdio, stderr or file:FILE' },
    create(properties, host) {
      const sink = openSink(properties.text('chardev', 'stdio'), host)
      return debugConsole({
        iobase: properties.whole('iobase', 0xe9, 0xffff),
        readback: properties.whole('readback', 0xe9, 0xff),
        transmit: sink,
      })
    },
  },
}

/** The devices that `--device` arguments ask for. */
export function createDevices(devices: readonly DeviceArgument[], host: DeviceHost): DeviceModel[] {
  return devices.map((argument) => {
    const kind = Object.hasOwn(KINDS, argument.name) ? KINDS[argument.name] : undefined
    if (kind === undefined) {
      throw usage(`--device '${argument.name}' is unknown; there are ${Object.keys(KINDS).join(' and ')}`)
    }
    const known = Object.keys(kind.properties)
    for (const key of argument.properties.keys()) {
      if (!known.includes(key)) throw usage(`--device ${argument.name} has no '${key}'; it has ${known.join(', ')}`)
    }
    return kind.create(new Properties(argument), host)
  })
}

/** The devices and their properties, for `--help`. */
export function deviceHelp(): string {
  const lines = Object.entries(KINDS).flatMap(([name, { summary, properties }]) => [
    `  ${name.padEnd(16)}${summary}`,
    ...Object.entries(properties).map(([key, meaning]) => `    ${key.padEnd(14)}${meaning}`),
  ])
  return ['Devices:', ...lines].join('\n')
}

/** Reads the properties of one device, with their defaults. */
class Properties {
  readonly #argument: DeviceArgument

  constructor(argument: DeviceArgument) {
    this.#argument = argument
  }

  text(key: string, otherwise: string): string {
    return this.#argument.properties.get(key) ?? otherwise
  }

  whole(key: string, otherwise: number, most: number, least = 0): number {
    const text = this.#argument.properties.get(key)
    if (text === undefined) return otherwise
    const value = parseWhole(text)
    if (value === undefined || value < least || value > most) {
      throw usage(
        `--device ${this.#argument.name}: ${key}=${text} is not a number from ${least} to 0x${most.toString(16)}`,
      )
    }
    return value
  }
}

function openSink(target: string, host: DeviceHost): (bytes: Uint8Array) => void {
  if (target === 'stdio') return (bytes) => void host.stdout.write(bytes.slice())
  if (target === 'stderr') return (bytes) => void host.stderr.write(bytes.slice())
  if (!target.startsWith('file:')) throw usage(`chardev=${target} is unknown; give stdio, stderr or file:FILE`)
  const path = target.slice(5)
  try {
    const file = openSync(path, 'w')
    return (bytes) => void writeSync(file, bytes)
  } catch (error) {
    throw new CliError('ERR_INPUT', `cannot write ${path}: ${error instanceof Error ? error.message : String(error)}`)
  }
}
