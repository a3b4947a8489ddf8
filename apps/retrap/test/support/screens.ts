import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { createConnection, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { inflateSync } from 'node:zlib'
import { retrapCommand } from './processes.ts'

/** A picture of a screen, three bytes a pixel: red, green, blue. */
export interface Picture {
  readonly width: number
  readonly height: number
  readonly rgb: Uint8Array
}

const QEMU = 'qemu-system-x86_64'
const POLL_MS = 1000

/** Reads a binary PPM file, which QEMU's `screendump` writes. */
function readPpm(bytes: Buffer): Picture | null {
  const match = /^P6\s(\d+) (\d+)\s255\s/.exec(bytes.subarray(0, 64).toString('latin1'))
  if (match === null) return null
  const [width, height] = [Number(match[1]), Number(match[2])]
  const rgb = bytes.subarray(match[0].length)
  return rgb.length === width * height * 3 ? { width, height, rgb } : null
}

/** Reads a PNG file as our encoder makes them: truecolour, one chunk of data, each row as the difference to the one above. */
export function readPng(bytes: Buffer): Picture {
  const [width, height] = [bytes.readUInt32BE(16), bytes.readUInt32BE(20)]
  const at = bytes.indexOf('IDAT', 0, 'latin1')
  const rows = inflateSync(bytes.subarray(at + 4, at + 4 + bytes.readUInt32BE(at - 4)))
  const rgb = new Uint8Array(width * height * 3)
  const stride = width * 3
  for (let i = 0; i < rgb.length; i++) {
    const above = i < stride ? 0 : rgb[i - stride]!
    rgb[i] = rows[i + 1 + Math.floor(i / stride)]! + above
  }
  return { width, height, rgb }
}

/** The share of pixels that two pictures have in common, from 0 to 1; 0 for pictures of different sizes. */
function likeness(a: Picture, b: Picture): number {
  if (a.width !== b.width || a.height !== b.height) return 0
  let same = 0
  for (let at = 0; at < a.rgb.length; at += 3)
    if (a.rgb[at] === b.rgb[at] && a.rgb[at + 1] === b.rgb[at + 1] && a.rgb[at + 2] === b.rgb[at + 2]) same++
  return (3 * same) / a.rgb.length
}

/** Whether a picture has more than one colour. */
const isDrawn = ({ rgb }: Picture): boolean => rgb.some((value, i) => i >= 3 && value !== rgb[i % 3])

/** How long a picture of QEMU's must stay as it is. */
interface Settled {
  /** After this a picture counts, ms. */
  readonly leastMs: number
  readonly settleMs: number
  readonly deadlineMs: number
  /** Its width in the end: loaders and kernels draw in other modes before. */
  readonly width: number
}

/**
 * Takes the picture that a machine of QEMU comes to rest with.
 *
 * @throws Error where it does not within its time
 */
export async function qemuScreen(scratch: string, args: readonly string[], settled: Settled): Promise<Picture> {
  const { leastMs, settleMs, deadlineMs, width } = settled
  const [socketPath, file] = [join(scratch, 'qmp'), join(scratch, 'qemu.ppm')]
  rmSync(file, { force: true })
  const monitor = ['-monitor', 'none', '-qmp', `unix:${socketPath},server=on,wait=off`]
  const qemu = spawn(QEMU, [...args, '-display', 'none', '-serial', 'null', ...monitor], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const start = performance.now()
  try {
    const socket = await connectTo(socketPath)
    const command = (text: object): unknown => socket.write(`${JSON.stringify(text)}\n`)
    socket.resume()
    command({ execute: 'qmp_capabilities' })
    let last: Picture | null = null
    let since = start
    for (;;) {
      await sleep(POLL_MS)
      const now = performance.now()
      if (now - start > deadlineMs) throw new Error(`QEMU's screen does not come to rest in ${deadlineMs} ms`)
      const picture = existsSync(file) ? readPpm(readFileSync(file)) : null
      command({ execute: 'screendump', arguments: { filename: file } })
      if (picture === null) continue
      if (last === null || likeness(last, picture) < 0.9995) since = now
      last = picture
      if (now - start >= leastMs && now - since >= settleMs && picture.width === width && isDrawn(picture))
        return picture
    }
  } finally {
    qemu.kill('SIGKILL')
    await once(qemu, 'exit')
  }
}

async function connectTo(path: string): Promise<Socket> {
  for (;;) {
    const socket = createConnection(path)
    const connected = await Promise.race([
      once(socket, 'connect').then(() => true),
      once(socket, 'error').then(() => false),
    ]).catch(() => false)
    if (connected) return socket
    socket.destroy()
    await sleep(100)
  }
}

/** How near our screen has come to a picture, and when. */
export interface Match {
  readonly likeness: number
  readonly seconds: number
}

/**
 * Runs the command line until its screen is like a picture.
 *
 * @param scratch - keeps the last picture, `screen.png`
 */
export async function retrapScreen(
  scratch: string,
  args: readonly string[],
  expected: Picture,
  options: { readonly least: number; readonly deadlineMs: number },
): Promise<Match> {
  const file = join(scratch, 'screen.png')
  rmSync(file, { force: true })
  const child = spawn(process.execPath, retrapCommand([...args, '--display', `png:${file}`, '--serial', 'none']), {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const start = performance.now()
  let best = 0
  try {
    for (;;) {
      await sleep(POLL_MS)
      const seconds = (performance.now() - start) / 1000
      if (existsSync(file)) best = Math.max(best, likeness(expected, readPng(readFileSync(file))))
      if (best >= options.least || seconds * 1000 > options.deadlineMs || child.exitCode !== null)
        return { likeness: best, seconds }
    }
  } finally {
    if (child.exitCode === null) {
      child.kill('SIGTERM')
      await once(child, 'exit')
    }
  }
}
