/** `--device exec:COMMAND`, `unix:PATH` and `tcp:HOST:PORT`: devices that are programs in any language. */
import { connectDeviceProgram, startDeviceProgram } from '@retrap/ioreq/host/node'
import type { ProtocolDevicesOptions, TransferBounds } from '@retrap/ioreq/protocol'
import type { StartDeviceServer } from '@retrap/machine'
import type { SessionOutput } from '../host/host.ts'
import { type DeviceArgument, parseWhole, Properties, usage } from '../options/values.ts'
import { slotOf } from './pci-devices.ts'

/** The properties of a program. */
export const PROGRAM_PROPERTIES: Readonly<Record<string, string>> = {
  addr: 'PCI device number of its first device that has none, such as 4 or 0x4 (10, 11, … in the order of the programs)',
  dma: 'the part of guest memory that it may reach, FIRST-LAST (all)',
  reconnect: 'seconds for which a lost connection is tried again (5); of unix: and tcp:',
}
const FIRST_SLOT = 0x10
const MOST_LINE = 4096

/** Whether a `--device` is a program. */
export const namesProgram = (name: string): boolean => /^(exec|unix|tcp):/.test(name)

/**
 * Checks a `--device` that is a program.
 *
 * @param index - of the program among all
 * @throws CliError `ERR_USAGE`
 */
export function prepareProgram(argument: DeviceArgument, index: number, stderr: SessionOutput): StartDeviceServer {
  const { name } = argument
  const properties = new Properties(argument)
  properties.check(Object.keys(PROGRAM_PROPERTIES))
  const address = parseProgram(`--device ${name}`, name)
  const reconnect = Number(properties.text('reconnect', '5'))
  if (!(reconnect >= 0 && reconnect <= 86_400))
    throw usage(
      `--device ${name}: reconnect=${properties.text('reconnect', '')} is not a time; give seconds, such as 30`,
    )
  const bounds = boundsOf(name, properties.text('dma', ''))
  const slot = slotOf(argument) ?? FIRST_SLOT + index
  return (dispatch, platform, realTime) => {
    let next = slot
    const prefix = 'command' in address ? commandName(address.command) : name
    const tell = (text: string): void => void stderr.write(`${prefix}: ${printable(text)}\n`)
    const options: ProtocolDevicesOptions = {
      name: prefix,
      realTime,
      ...(bounds && { bounds }),
      place: () => next++,
      onLog: tell,
    }
    if ('command' in address)
      return startDeviceProgram(dispatch, platform, { ...options, ...address, onOutput: linesTo(tell) })
    return connectDeviceProgram(dispatch, platform, { ...options, address, reconnectMs: reconnect * 1000 })
  }
}

function boundsOf(name: string, text: string): TransferBounds | undefined {
  if (text === '') return undefined
  const [, first = '', last = ''] = /^([^-]+)-([^-]+)$/.exec(text) ?? []
  const bounds = { first: parseWhole(first) ?? Number.NaN, last: parseWhole(last) ?? Number.NaN }
  if (bounds.first <= bounds.last) return bounds
  throw usage(`--device ${name}: dma=${text} is no range of addresses; give FIRST-LAST, such as 0x1000000-0x1ffffff`)
}

const commandName = (command: string): string => command.trim().split(/\s+/)[0]!.split('/').at(-1) ?? command

/** A program with devices: what a shell runs, or where it listens. */
export type ProgramAddress =
  | { readonly command: string }
  | { readonly path: string }
  | { readonly host: string; readonly port: number }

/**
 * Reads `exec:COMMAND`, `unix:PATH` or `tcp:HOST:PORT`.
 *
 * @param what - names it in errors
 * @throws CliError `ERR_USAGE`
 */
export function parseProgram(what: string, text: string): ProgramAddress {
  const [, kind = '', rest = ''] = /^(exec|unix|tcp):(.*)$/s.exec(text) ?? []
  if (rest.trim() === '') throw usage(`${what} names no program; write exec:COMMAND, unix:PATH or tcp:HOST:PORT`)
  if (kind === 'exec') return { command: rest }
  if (kind === 'unix') return { path: rest }
  const [, host = '127.0.0.1', digits = ''] = /^(?:(.+):)?(\d+)$/.exec(rest) ?? []
  const port = Number(digits)
  if (digits === '' || port < 1 || port > 0xffff)
    throw usage(`${what} names no port to connect to; write tcp:HOST:PORT`)
  return { host: host.replace(/^\[(.*)\]$/, '$1'), port }
}

/** Cuts bytes into lines. Long lines are cut: a program may write no line's end. */
export function linesTo(tell: (line: string) => void): (bytes: Uint8Array) => void {
  const decoder = new TextDecoder()
  let rest = ''
  return (bytes) => {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split('\n')
    rest = lines.pop()!
    for (const line of lines) tell(line)
    for (; rest.length > MOST_LINE; rest = rest.slice(MOST_LINE)) tell(rest.slice(0, MOST_LINE))
  }
}

/** Programs' words must not control a terminal. */
export const printable = (text: string): string => text.replaceAll(/[^\x20-\x7e\u00a0-\uffff\t]/g, '?')
