import type { DisplayFlags } from '../display/display-option.ts'
import type { OptionRow } from '../../options/option-table.ts'
import { parseSerial, readPairs, type SerialTarget, splitPairs, usage, didYouMean } from '../../options/values.ts'

/** A stream of bytes that a device is given by its id. */
export interface ChardevArgument {
  readonly id: string
  readonly target: SerialTarget
}

export interface SerialFlags {
  readonly serial?: readonly SerialTarget[]
  readonly chardev?: readonly ChardevArgument[]
}

/** Kinds of `--chardev`, with the keys of each besides its id. */
export const CHARDEV_KEYS: Readonly<Record<string, readonly string[]>> = {
  stdio: [],
  null: [],
  pty: [],
  file: ['path'],
  socket: ['path', 'host', 'port', 'server', 'wait'],
}

const MOST_SERIAL_PORTS = 4

/** Options that say where bytes of serial ports and consoles go. `--chardev` is QEMU's. */
export const SERIAL_OPTIONS: readonly OptionRow[] = [
  {
    flags: '--serial <where>',
    help: 'where the first serial port leads, then the next (repeatable, up to 4): stdio, tcp:[HOST:]PORT or unix:PATH to listen on, file:FILE, pty (needs socat) or none (default: stdio)',
    each: nextSerial,
  },
  {
    flags: '--chardev <kind,id=name,key=value>',
    help: 'where a console or port of --device virtconsole and virtserialport leads: stdio, socket (path=PATH or port=PORT, server=on), file (path=FILE), pty or null (repeatable)',
    each: parseChardev,
    shape: {
      head: 'kind',
      short: 'kind',
      keys: (kind) => (Object.hasOwn(CHARDEV_KEYS, kind) ? ['id', ...CHARDEV_KEYS[kind]!] : undefined),
      heads: Object.keys(CHARDEV_KEYS),
      paths: ['path'],
    },
  },
]

function nextSerial(text: string, before: readonly SerialTarget[]): SerialTarget {
  const target = parseSerial(text)
  if (before.length === MOST_SERIAL_PORTS) throw usage(`--serial ${text}: a PC has ${MOST_SERIAL_PORTS} serial ports`)
  if (target.kind === 'stdio' && before.some(({ kind }) => kind === 'stdio')) {
    throw usage('--serial stdio: the terminal is connected to a serial port already')
  }
  return target
}

/** Reads `--chardev`. @throws CliError `ERR_USAGE` */
export function parseChardev(text: string): ChardevArgument {
  const [kind = '', ...parts] = splitPairs(text)
  const kinds = Object.keys(CHARDEV_KEYS)
  if (!Object.hasOwn(CHARDEV_KEYS, kind))
    throw usage(`--chardev '${kind}' is unknown; there are ${kinds.join(', ')}${didYouMean(kind, kinds)}`)
  const given = readPairs(`--chardev ${kind}`, parts, ['id', ...CHARDEV_KEYS[kind]!])
  const id = given.get('id') ?? ''
  if (id === '') throw usage(`--chardev ${text} has no id for a --device; write id=NAME`)
  return { id, target: targetOf(kind, id, given) }
}

function targetOf(kind: string, id: string, given: ReadonlyMap<string, string>): SerialTarget {
  const path = given.get('path') ?? ''
  switch (kind) {
    case 'stdio':
    case 'pty':
      return { kind }
    case 'file':
      if (path === '') throw usage(`--chardev ${id} names no file; write path=FILE`)
      return { kind, path }
    case 'socket':
      return socketOf(id, path, given)
    default:
      return { kind: 'none' }
  }
}

/** A socket to listen on. QEMU's connects without `server=on`, and with it waits for a program unless `wait=off`. */
function socketOf(id: string, path: string, given: ReadonlyMap<string, string>): SerialTarget {
  for (const key of ['server', 'wait']) {
    const value = given.get(key) ?? 'on'
    if (value !== 'on' && value !== 'off') throw usage(`--chardev ${id}: ${key}=${value} is not on or off`)
  }
  if (given.get('server') !== 'on') throw usage(`--chardev ${id}: a socket only listens; write server=on,wait=off`)
  if (given.get('wait') === 'on') throw usage(`--chardev ${id}: the machine waits for no program; write wait=off`)
  const port = given.get('port')
  if ((path === '') === (port === undefined)) throw usage(`--chardev ${id}: write either path=PATH or port=PORT`)
  if (port === undefined) return { kind: 'unix', path }
  if (!/^\d+$/.test(port) || Number(port) > 0xffff)
    throw usage(`--chardev ${id}: port=${port} is not a number from 0 to 65535`)
  return { kind: 'tcp', host: given.get('host') ?? '127.0.0.1', port: Number(port) }
}

/**
 * Returns the targets of serial ports. The first port defaults to the terminal, if the terminal is free.
 *
 * @throws CliError `ERR_USAGE` if several have the terminal
 */
export function serialTargets({
  serial,
  chardev = [],
  display,
}: SerialFlags & Pick<DisplayFlags, 'display'>): readonly SerialTarget[] {
  const onTerminal = chardev.filter(({ target }) => target.kind === 'stdio')
  const [first, second] = onTerminal
  if (second !== undefined)
    throw usage(`--chardev ${second.id}: the terminal belongs to --chardev ${first!.id} already`)
  const ofDisplay = display?.kind === 'terminal'
  if (first !== undefined && ofDisplay) throw usage(`--chardev ${first.id}: --display terminal has the terminal`)
  if (first !== undefined && serial?.some(({ kind }) => kind === 'stdio') === true)
    throw usage(`--chardev ${first.id}: the terminal belongs to --serial stdio already`)
  return serial ?? [{ kind: ofDisplay || first !== undefined ? 'none' : 'stdio' }]
}
