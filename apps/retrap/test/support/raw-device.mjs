// A device server of PROTOCOL.md alone, that does one thing wrong: node raw-device.mjs HOW
import { spawn } from 'node:child_process'
import { existsSync, writeFileSync, writeSync } from 'node:fs'
import { Socket } from 'node:net'

const [how = '', path = ''] = process.argv.slice(2)
const socket = new Socket({ fd: Number(process.env.RETRAP_DEVICE_FD) })

/** A frame: numbers are u64, strings are text. */
function frame(kind, ...fields) {
  const parts = fields.map((field) => {
    if (typeof field === 'string') {
      const text = Buffer.from(field)
      const bytes = Buffer.alloc(8 + Math.ceil(text.length / 8) * 8)
      bytes.writeBigUInt64LE(BigInt(text.length))
      text.copy(bytes, 8)
      return bytes
    }
    const bytes = Buffer.alloc(8)
    bytes.writeBigUInt64LE(BigInt(field))
    return bytes
  })
  const head = Buffer.alloc(8)
  const body = Buffer.concat(parts)
  head.writeUInt32LE(8 + body.length, 0)
  head.writeUInt16LE(kind, 4)
  return Buffer.concat([head, body])
}
const send = (...frames) => socket.write(Buffer.concat(frames.map((each) => frame(...each))))

/** What it calls itself and its device where it forges: orders for a terminal, and lines that look like retrap's. */
const FORGED = '\u001b[2J\u009b31m\r\nretrap: fine\u202e'
const forges = how.startsWith('forges')
const WELCOME = [32, 5, 0, 0, 0, forges ? `raw${FORGED}` : 'raw']
const DEVICE = [
  [33, 1, 0, forges ? `thermometer${FORGED}` : 'thermometer'],
  [
    34,
    1,
    1,
    Number(process.env.SPACE ?? 1),
    Number(process.env.BASE ?? 0xfed9_0000),
    Number(process.env.BYTES ?? 4096),
    0,
    0,
    0,
  ],
  [42, 4, 1, Number(process.env.IRQ ?? 5)],
  ...(how.startsWith('pci') ? [[35, 3, 1, 256, 0x1af4, 0x10f0, 0, 0xff_0000, 0, 0, 1, 0, '']] : []),
]
const READY = [43]
/** The kind of frame that it never answers. */
const silent = Number(process.env.SILENT ?? 0)
let isFirst = true

/** What a read does before its answer. @returns true: there is no answer */
const ON_READ = {
  dies: () => process.exit(3),
  'forges a fault': () => void send([57, `log${FORGED}`], [46, 1, FORGED + 'x'.repeat(1 << 20)]),
  'forges an end': () => void send([57, `log${FORGED}`], [15, FORGED + 'x'.repeat(1 << 16)]),
  killed: () => process.kill(process.pid, 'SIGKILL'),
  'pci-dies-once'() {
    if (existsSync(path)) return
    writeFileSync(path, 'x')
    process.exit(3)
  },
  resets: () => void send([55]),
  interrupts: () => void send([48, 4, 1]),
  waits() {
    console.log(`asked ${process.pid}`)
    return true
  },
  stops() {
    if (isFirst) {
      writeSync(1, `asked ${process.pid}\n`)
      process.kill(process.pid, 'SIGSTOP')
    }
    isFirst = false
  },
  leaves() {
    // A process of another session keeps the socket when this one has ended.
    const options = { stdio: ['ignore', 'inherit', 'inherit', 'inherit'], detached: true }
    const child = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 120_000)'], options)
    child.once('spawn', () => {
      writeSync(1, `left ${child.pid}\n`)
      process.exit(4)
    })
    return true
  },
}
/** Frames without an end, as fast as the socket takes them. */
const FLOODS = {
  'floods-lines': (i) => [48, 4, i & 1],
  'floods-memory': (i) => [50, i, 1, 0, 4096],
}
function flood() {
  const most = 1000
  const batch = Buffer.concat(Array.from({ length: most }, (_, i) => frame(...FLOODS[how](i))))
  const more = () => {
    while (socket.writable && socket.write(batch));
  }
  socket.on('drain', more)
  more()
}
const ON_FRAME = {
  // hello
  2() {
    if (how === 'old') send([32, 4, 0, 0, 0, 'raw'])
    else if (how === 'never-ready') send(WELCOME, ...DEVICE)
    else if (how !== 'mute' && !process.env.MUTE) send(WELCOME, ...DEVICE, READY)
    if (how === 'arms') send([49, 1, 1, 1])
    if (how in FLOODS) flood()
  },
  // read
  3(at) {
    if (ON_READ[how]?.() !== true) send([44, at(0), at(2) === 0 ? 0x15 : 0])
  },
  // write
  4(at) {
    if (at(0) !== 0) send([44, at(0), 0])
  },
}

let rest = Buffer.alloc(0)
socket.on('data', (bytes) => {
  rest = Buffer.concat([rest, bytes])
  while (rest.length >= 8 && rest.length >= rest.readUInt32LE(0)) {
    const whole = rest.subarray(0, rest.readUInt32LE(0))
    rest = rest.subarray(whole.length)
    const at = (field) => Number(whole.readBigUInt64LE(8 + 8 * field))
    const kind = whole.readUInt16LE(4)
    if (kind === silent) continue
    if (kind in ON_FRAME) ON_FRAME[kind](at)
    // Calls that are answered by done: those with a number, from timer to resume.
    else if (kind >= 6 && kind <= 13) send([45, at(0), '', ''])
  }
})

if (how === 'stays') {
  // It heeds neither the end of its socket nor a signal, and nor does what it has started.
  process.on('SIGTERM', () => {})
  socket.on('end', () => {})
  setInterval(() => {}, 1000)
  const more = "process.on('SIGTERM', () => {}); setInterval(() => {}, 1000)"
  const child = spawn(process.execPath, ['-e', more], { stdio: 'ignore' })
  console.log(`processes ${process.pid} ${child.pid}`)
} else socket.on('end', () => process.exit())
socket.on('error', () => process.exit())
if (how === 'pci-waits') console.log(`processes ${process.pid}`)
if (how === 'talks') {
  console.log('one line\r\nand another')
  process.stderr.write('a third\u001b[2J')
}
