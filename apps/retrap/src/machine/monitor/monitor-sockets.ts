/** `--monitor` and `--qmp`: the monitor for programs, at a Unix socket or a TCP port. */
import { createServer, type Socket } from 'node:net'
import { rmSync } from 'node:fs'
import { listen } from '../migration/socket-channel.ts'
import type { SessionOutput } from '../session/session-host.ts'
import type { OptionRow } from '../../options/option-table.ts'
import { parseSerial, usage, type SerialTarget } from '../../options/values.ts'
import { runCommand } from './commands.ts'
import type { MonitorPeer } from './qmp.ts'
import type { QmpSite } from './qmp-commands.ts'

/** The address of a monitor's socket, or the terminal. */
export type MonitorTarget = Extract<SerialTarget, { readonly kind: 'tcp' | 'unix' | 'stdio' }>

export interface MonitorFlags {
  readonly monitor?: readonly MonitorTarget[]
  readonly qmp?: readonly MonitorTarget[]
  readonly paused?: boolean
}

/** The options, with QEMU's names. */
export const MONITOR_OPTIONS: readonly OptionRow[] = [
  {
    flags: '--monitor <where>',
    help: 'take commands of the monitor: stdio (Ctrl-A c goes there and back), tcp:[HOST:]PORT or unix:PATH (repeatable)',
    each: (text) => parseTarget('--monitor', text),
  },
  {
    flags: '--qmp <where>',
    help: 'take commands of QMP, as JSON: tcp:[HOST:]PORT or unix:PATH (repeatable)',
    each: (text) => parseTarget('--qmp', text),
  },
  { flags: '--paused', help: 'the machine does not start before cont of the monitor' },
]

function parseTarget(option: string, text: string): MonitorTarget {
  const target = /^(tcp|unix):|^stdio$/.test(text) ? parseSerial(text) : undefined
  if (target === undefined || (option === '--qmp' && target.kind === 'stdio'))
    throw usage(`${option} '${text}': write tcp:[HOST:]PORT or unix:PATH${option === '--qmp' ? '' : ', or stdio'}`)
  return target as MonitorTarget
}

/** Clients at a time, and the longest line of one. */
const MOST_PEERS = 8
const LONGEST_LINE = 4096
const MOST_UNREAD = 1 << 20
/** Most pieces of a client's input that wait for earlier commands. */
const MOST_WAITING = 256
const PROMPT = '(qemu) '

/** Opens a monitor's socket. @returns closes it @throws CliError `ERR_INPUT` if the address cannot be used */
export async function openMonitor(
  target: MonitorTarget,
  isQmp: boolean,
  site: () => QmpSite,
  say: SessionOutput,
): Promise<() => void> {
  const { serveQmp } = await import('./qmp.ts')
  const peers = new Set<Socket>()
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy())
    if (peers.size === MOST_PEERS) return void socket.destroy()
    peers.add(socket)
    socket.setNoDelay(true)
    socket.on('close', () => peers.delete(socket))
    const peer = peerOf(socket)
    if (isQmp) serveQmp(peer, site)
    else serveMonitor(peer, site)
  })
  const path = target.kind === 'unix' ? target.path : undefined
  await listen(server, target.kind === 'tcp' ? { host: target.host, port: target.port } : { path: path! })
  const at = server.address()
  const place = typeof at === 'string' || at === null ? at : `${at.address}:${at.port}`
  say.write(`retrap: ${isQmp ? 'QMP' : 'the monitor'} listens on ${place}\n`)
  return () => {
    server.close()
    for (const peer of peers) peer.destroySoon()
    if (path !== undefined) rmSync(path, { force: true })
  }
}

export const peerOf = (socket: Socket): MonitorPeer => ({
  write: (text) => void (socket.destroyed || socket.write(text)),
  unread: () => socket.writableLength,
  end: () => socket.destroySoon(),
  onData: (listener) => {
    let waiting = 0
    socket.on('data', (bytes) => {
      if (++waiting > MOST_WAITING) return void socket.destroy()
      void Promise.resolve(listener(bytes)).finally(() => waiting--)
    })
  },
  onClose: (listener) => void socket.on('close', listener),
})

/** Serves lines of a person, or of a program that waits for the prompt. A request of HTTP, as a web page can send it, ends the connection. */
function serveMonitor(peer: MonitorPeer, site: () => QmpSite): void {
  let line = ''
  let last = Promise.resolve()
  const act = async (text: string): Promise<void> => {
    const told = await runCommand(text.replaceAll(/[^\t -~\u00a0-\uffff]/g, ''), site())
    peer.write(`${told.replaceAll('\n', '\r\n')}${PROMPT}`)
    if (peer.unread() > MOST_UNREAD) peer.end()
  }
  peer.write(`retrap monitor - type 'help' for more information\r\n${PROMPT}`)
  const decoder = new TextDecoder()
  peer.onData((bytes) => {
    line += decoder.decode(bytes, { stream: true })
    if (/^(GET|POST|PUT|OPTIONS|HEAD) .*HTTP/.test(line) || line.length > LONGEST_LINE * 16) return peer.end()
    const lines = line.split(/\r?\n/)
    line = lines.pop() ?? ''
    if (line.length > LONGEST_LINE) return peer.end()
    for (const one of lines) last = last.then(() => act(one))
    return last
  })
}
