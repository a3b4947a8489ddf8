import { defined } from '@retrap/basics'
import { Keyboard, Mouse, type KeyboardLayoutName, type Screen, VncServer, DisplayError } from '@retrap/display'
import { listenVnc, type VncListener, zlibCompressor } from '@retrap/display/node'
import { CliError } from '@retrap/linux-guest/errors'
import type { SessionOutput } from '../session/session-host.ts'
import { parseWhole, readPairs, splitPairs, usage } from '../../options/values.ts'

/** A VNC server for `--display`. */
export interface VncTarget {
  readonly kind: 'vnc'
  readonly host: string
  readonly port: number
  readonly password?: string
  readonly webSocketPort?: number
  readonly layout?: KeyboardLayoutName
}

const VNC_PORT = 5900
const LOOPBACK = '127.0.0.1'
const PROPERTIES = ['password', 'websocket', 'layout']

/** Reads the text behind `vnc=`: `HOST:PORT,password=…,websocket=PORT,layout=NAME`. @throws CliError `ERR_USAGE` */
export function parseVnc(text: string): VncTarget {
  const [address = '', ...pairs] = splitPairs(text)
  const [, host = LOOPBACK, digits] = /^(?:(.*):)?(\d+)$/.exec(address) ?? []
  if (digits === undefined && address !== '') {
    throw usage(`--display vnc=${address} names no port; write vnc=127.0.0.1:${VNC_PORT}`)
  }
  // Port 0 asks for any free port; display 0 has no host.
  if (digits !== undefined && (address === ':0' || isDisplayNumber(digits))) {
    const port = VNC_PORT + Number(digits)
    throw usage(
      `--display vnc=${address}: a port is expected, not a display number; write vnc=${host || LOOPBACK}:${port}`,
    )
  }
  const properties = readPairs('--display vnc', pairs, PROPERTIES)
  const layout = properties.get('layout')
  return {
    kind: 'vnc' as const,
    host: host === '' ? LOOPBACK : host.replace(/^\[(.*)\]$/, '$1'),
    port: portOf(digits ?? `${VNC_PORT}`),
    ...defined({
      password: properties.get('password'),
      webSocketPort: properties.has('websocket') ? portOf(properties.get('websocket')!) : undefined,
      layout: layout === undefined ? undefined : checkedLayout('--display vnc', layout),
    }),
  }
}

/** Returns the layout of this name. @throws CliError `ERR_USAGE` for an unknown name */
export function checkedLayout(option: string, name: string): KeyboardLayoutName {
  try {
    return new Keyboard({ layout: name as KeyboardLayoutName }).layout.name
  } catch (error) {
    if (error instanceof DisplayError) throw usage(`${option}: ${error.message}`)
    throw error
  }
}

/** QEMU and VNC's clients count displays from port 5900 on. */
function isDisplayNumber(digits: string): boolean {
  const number = Number(digits)
  return number > 0 && number < 100
}

function portOf(text: string): number {
  const port = parseWhole(text)
  if (port === undefined || port > 0xffff) throw usage(`--display vnc: ${text} is not a port; give one from 0 to 65535`)
  return port
}

/** The keyboard and mouse that VNC clients have, and the server; all machines of a session have the same. */
export class SessionVnc {
  readonly keyboard: Keyboard
  readonly mouse: Mouse = new Mouse()
  readonly #target: VncTarget
  readonly #screen: Screen
  /** The listener, once the target is open. */
  listener: VncListener | undefined

  constructor(target: VncTarget, screen: Screen) {
    this.#target = target
    this.#screen = screen
    this.keyboard = new Keyboard(defined({ layout: target.layout }))
  }

  /** Listens, and says where. @throws CliError `ERR_USAGE`, `ERR_INPUT` */
  async open(say: SessionOutput): Promise<void> {
    const { host, port, password, webSocketPort } = this.#target
    const { keyboard, mouse } = this
    try {
      const server = new VncServer({
        screen: this.#screen,
        keyboard,
        mouse,
        createCompressor: zlibCompressor,
        ...defined({ password }),
      })
      this.listener = await listenVnc(server, { host, port, ...defined({ webSocketPort }) })
    } catch (error) {
      if (!(error instanceof DisplayError)) throw error
      if (error.code === 'ERR_OPTION') throw usage(`--display vnc: ${error.message}`)
      throw new CliError('ERR_INPUT', error.message)
    }
    const web = this.listener.webSocketPort
    const also = web === undefined ? '' : `, for WebSockets on port ${web}`
    say.write(`retrap: VNC listens on ${host}:${this.listener.port}${also}\n`)
  }
}
