/** `--device exec:COMMAND`, `unix:PATH` and `tcp:HOST:PORT`: devices that are programs in any language. */
import { plainLine, secondsIn } from '@retrap/basics'
import { setTimeout as sleep } from 'node:timers/promises'
import type { DeviceModel } from '@retrap/device'
import {
  type DeviceModelOptions,
  type DeviceProgramPlace,
  deviceProgramPlace,
  openDeviceModel,
  openDeviceProgram,
} from '@retrap/device-hosting/node'
import type { TransferBounds } from '@retrap/device-hosting/protocol'
import type { StartDeviceServer } from '@retrap/machine'
import type { SessionOutput } from '../session/session-host.ts'
import { type DeviceArgument, parseWhole, Properties, usage } from '../../options/values.ts'
import { slotOf } from './pci-devices.ts'

export const PROGRAM_PROPERTIES: Readonly<Record<string, string>> = {
  addr: 'PCI device number of its first device that has none, such as 4 or 0x4 (10, 11, … in the order of the programs)',
  dma: 'the part of guest memory that it may reach, FIRST-LAST (all)',
  ready:
    'seconds that it has to answer hello and to declare its devices, or off (5 and 30); a debugger may take longer',
  reconnect: 'seconds for which a lost connection is tried again (5); of unix: and tcp:',
}
/** Receives the output of programs. */
export type ProgramOutput = Pick<SessionOutput, 'write' | 'writableLength'>

const FIRST_SLOT = 0x10
const MOST_LINE = 4096
/** Bytes that may wait for the reader of our stderr before a program's words wait too. */
const FULL_BYTES = 1 << 20
const LOOK_MS = 20

/** Whether a `--device` is a program. */
export const namesProgram = (name: string): boolean => /^(exec|unix|tcp):/.test(name)

/**
 * Checks a `--device` argument that names a program.
 *
 * @param index - number of the program among all
 * @throws CliError `ERR_USAGE`
 */
export function prepareProgram(argument: DeviceArgument, index: number, stderr: ProgramOutput): StartDeviceServer {
  const { address, options } = readProgram(argument, stderr)
  const slot = slotOf(argument) ?? FIRST_SLOT + index
  return (dispatch, platform, realTime) => {
    let next = slot
    return openDeviceProgram(dispatch, platform, address, { ...options, realTime, place: () => next++ })
  }
}

/**
 * Starts a program, or connects to it, and plugs its single device into a running machine.
 *
 * @throws CliError `ERR_USAGE`; IoreqError `ERR_DEVICE` if the program is missing, or does not have exactly one device
 */
export function openPluggedProgram(
  argument: DeviceArgument,
  stderr: ProgramOutput,
  home: Pick<DeviceModelOptions, 'clock' | 'onFailed' | 'onClosed'>,
): Promise<DeviceModel> {
  const { address, options } = readProgram(argument, stderr, ['bus', 'id'])
  return openDeviceModel(address, { ...options, ...home })
}

/** @throws CliError `ERR_USAGE` */
function readProgram(argument: DeviceArgument, stderr: ProgramOutput, others: readonly string[] = []) {
  const { name } = argument
  const properties = new Properties(argument)
  properties.check([...Object.keys(PROGRAM_PROPERTIES), ...others])
  const address = parseProgram(`--device ${name}`, name)
  const seconds = (key: string, usual: string): number => {
    const text = properties.text(key, usual)
    const value = secondsIn(text)
    if (value !== undefined && value <= 86_400) return value
    throw usage(`--device ${name}: ${key}=${text} is not a time; give seconds or a unit, such as 30 or 500ms`)
  }
  const reconnect = seconds('reconnect', '5')
  const ready = properties.text('ready', '') === 'off' ? Infinity : seconds('ready', '0')
  const bounds = boundsOf(name, properties.text('dma', ''))
  const prefix = 'command' in address ? commandName(address.command) : name
  const tell = (text: string): void => void stderr.write(`${prefix}: ${plainLine(text, MOST_LINE)}\n`)
  const options = {
    name: prefix,
    ...(properties.text('ready', '') !== '' && { readyMs: ready * 1000 }),
    ...(bounds && { bounds }),
    onLog: boundedLog(tell, stderr),
    onOutput: linesTo(tell, stderr),
    reconnectMs: reconnect * 1000,
  }
  return { address, options }
}

/** Programs that run other programs: the device is named after the other program. */
const RUNNERS = /^(\w+=.*|env|exec|node|deno|bun|python[\d.]*|perl|ruby|sh|bash|gdb|gdbserver|valgrind)$/

/** Returns a short name for a command: its program without the folder. */
function commandName(command: string): string {
  const words = command.trim().split(/\s+/)
  const names = words.filter((word) => !word.startsWith('-')).map((word) => word.split('/').at(-1)!)
  return names.find((name) => name !== '' && !RUNNERS.test(name)) ?? names[0] ?? command
}

function boundsOf(name: string, text: string): TransferBounds | undefined {
  if (text === '') return undefined
  const [, first = '', last = ''] = /^([^-]+)-([^-]+)$/.exec(text) ?? []
  const bounds = { first: parseWhole(first) ?? Number.NaN, last: parseWhole(last) ?? Number.NaN }
  if (bounds.first <= bounds.last) return bounds
  throw usage(`--device ${name}: dma=${text} is no range of addresses; give FIRST-LAST, such as 0x1000000-0x1ffffff`)
}

/** A program with devices: a shell command to start, or an address to connect to. */
export type ProgramAddress = DeviceProgramPlace

/**
 * Reads `exec:COMMAND`, `unix:PATH` or `tcp:HOST:PORT`.
 *
 * @param what - the program's name in errors
 * @throws CliError `ERR_USAGE`
 */
export function parseProgram(what: string, text: string): ProgramAddress {
  const place = deviceProgramPlace(text)
  if (place !== undefined) return place
  if (/^tcp:.*\S/s.test(text)) throw usage(`${what} names no port to connect to; write tcp:HOST:PORT`)
  throw usage(`${what} names no program; write exec:COMMAND, unix:PATH or tcp:HOST:PORT`)
}

/**
 * Tells the lines that a program logs. They come with its devices' frames, which cannot wait for a terminal: lines that stderr has no
 * room for are counted instead.
 */
export function boundedLog(tell: (line: string) => void, output: Room): typeof tell {
  let lost = 0
  return (line) => {
    if (isFull(output)) {
      lost++
      return
    }
    if (lost > 0) tell(`${lost} lines more, which stderr had no room for`)
    lost = 0
    tell(line.length > MOST_LINE ? `${line.slice(0, MOST_LINE)}…` : line)
  }
}

/** Tells a program's words line by line, as fast as stderr takes them. Long lines are cut: a program may write no line's end. */
export function linesTo(
  tell: (line: string) => void,
  output: Room = {},
): (bytes: Uint8Array, fd: 1 | 2) => void | Promise<void> {
  const begin = () => ({ decoder: new TextDecoder(), rest: '' })
  const streams = { 1: begin(), 2: begin() }
  return (bytes, fd) => {
    const stream = streams[fd]
    const isEnd = bytes.length === 0
    const lines = (stream.rest + stream.decoder.decode(bytes, { stream: !isEnd })).split(/\r?\n/)
    stream.rest = lines.pop()!
    for (const line of lines) tell(line)
    for (; stream.rest.length > MOST_LINE; stream.rest = stream.rest.slice(MOST_LINE))
      tell(stream.rest.slice(0, MOST_LINE))
    if (isEnd && stream.rest !== '') tell(stream.rest)
    return isFull(output) ? hasRoom(output) : undefined
  }
}

type Room = Pick<SessionOutput, 'writableLength'>
const isFull = ({ writableLength = 0 }: Room): boolean => writableLength > FULL_BYTES

async function hasRoom(output: Room): Promise<void> {
  while (isFull(output)) await sleep(LOOK_MS, undefined, { ref: false })
}
