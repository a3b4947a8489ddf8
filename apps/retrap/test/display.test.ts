import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Screen } from '@retrap/display'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import {
  displaySettings,
  parseDisplay,
  type DisplayTarget,
  withCardDevice,
} from '../src/machine/display/display-option.ts'
import { SessionDisplay } from '../src/machine/display/session-display.ts'
import { usualVga } from '../src/flags/images.ts'
import { parseDevice } from '../src/options/values.ts'
import { runSession } from '../src/machine/session/session.ts'
import type { SessionSettings } from '../src/machine/session/session-settings.ts'
import { FakeHost } from './support/fake-machine.ts'

const scratch = temporaryFolder('display')

const settings = (target: DisplayTarget, screenshot?: string): SessionSettings => ({
  machine: { memoryBytes: 64 << 20, cpus: 1, clock: 'real' },
  images: async () => ({}),
  devices: async () => ({ models: [], servers: [] }),
  serial: [{ kind: 'none' }],
  console: 'serial',
  snapshots: { arguments: [], onExit: undefined },
  input: { kind: 'pass' },
  display: { target, ...(screenshot !== undefined && { screenshot }) },
})

/** A picture of two pixels. */
function draw(screen: Screen, colour: number): void {
  screen.setMode({ width: 2, height: 1, stride: 8, format: 'bgrx8888' })
  screen.draw(
    Uint8Array.from({ length: 8 }, () => colour),
    [{ x: 0, y: 0, width: 2, height: 1 }],
  )
}

/** A machine whose card draws, and which the guest resets until all colours have been there. */
function drawing(colours: readonly number[], meanwhile = (): void => undefined): FakeHost {
  const screens = new Set<Screen>()
  const host = new FakeHost(async (_guest, boot) => {
    const screen = host.created.at(-1)?.screen
    if (screen !== undefined) screens.add(screen)
    // A machine that starts anew draws on the same screen.
    expect(screens.size).toBe(1)
    screen?.connect({ refresh: () => draw(screen, colours[boot - 1]!), update: () => {} })
    meanwhile()
    return boot < colours.length ? { reason: 'reset' } : { reason: 'power-off' }
  })
  return host
}

const isPng = (path: string): boolean => readFileSync(path).subarray(0, 4).toString('latin1') === '\x89PNG'

describe('the last picture', () => {
  test('is in the file, of the machine that ran last', async () => {
    const [one, two] = [join(scratch, 'one.png'), join(scratch, 'two.png')]
    expect(await runSession(settings({ kind: 'none' }, one), drawing([1, 2]))).toBe(0)
    expect(await runSession(settings({ kind: 'none' }, two), drawing([2]))).toBe(0)
    expect(isPng(one)).toBe(true)
    expect(readFileSync(one)).toEqual(readFileSync(two))
  })

  test('that cannot be written makes the exit code 74, and there is no file of a display that is off', async () => {
    const off = new FakeHost(async () => ({ reason: 'power-off' }))
    const path = join(scratch, 'off.png')
    expect(await runSession(settings({ kind: 'none' }, path), off)).toBe(74)
    expect(off.stderr.text).toContain('display is off')
    expect(existsSync(path)).toBe(false)
  })

  test.skipIf(process.platform === 'win32')('leaves what is no regular file in its place', async () => {
    // Root may rename a file over a device too; a pipe stands for it, which comes while the machine runs.
    const pipe = join(scratch, 'pipe')
    const host = drawing([1], () => void spawnSync('mkfifo', [pipe]))
    expect(await runSession(settings({ kind: 'none' }, pipe), host)).toBe(74)
    expect(host.stderr.text).toContain(`--screenshot-on-exit: ${pipe}: it is not a regular file`)
    expect(statSync(pipe).isFIFO()).toBe(true)
  })

  test('that is found to be a directory makes the exit code 74', async () => {
    const folder = join(scratch, 'late.png')
    const host = drawing([1], () => mkdirSync(folder))
    expect(await runSession(settings({ kind: 'none' }, folder), host)).toBe(74)
    expect(host.stderr.text).toContain(`--screenshot-on-exit: ${folder}: it is a directory`)
  })

  test.each([{ kind: 'none' } as const, { kind: 'png', path: join(scratch, 'no/a.png') } as const])(
    'that has no folder is an error before anything runs: %o',
    async (target) => {
      const host = drawing([1])
      const path = join(scratch, target.kind === 'none' ? 'no/a.png' : 'b.png')
      await expect(runSession(settings(target, path), host)).rejects.toMatchObject({
        code: 'ERR_INPUT',
        message: expect.stringContaining(`there is no folder ${join(scratch, 'no')}`),
      })
      expect(host.created).toEqual([])
    },
  )

  test('is the last one that is written', async () => {
    const path = join(scratch, 'last.png')
    expect(await runSession(settings({ kind: 'png', path }), drawing([1]))).toBe(0)
    rmSync(path)
    await new Promise((resolve) => setTimeout(resolve, 1200))
    expect(existsSync(path)).toBe(false)
  })
})

test('--display png:FILE writes one picture at a time, however slow the host is', async () => {
  const errors: string[] = []
  const display = new SessionDisplay(
    { target: { kind: 'png', path: join(scratch, 'slow.png') } },
    new FakeHost(async () => ({ reason: 'power-off' })).stdout,
    (message) => errors.push(message),
  )
  const { screen } = display
  const toPng = screen.toPng.bind(screen)
  let [writes, atOnce, most] = [0, 0, 0]
  screen.toPng = async () => {
    writes++
    most = Math.max(most, ++atOnce)
    await sleep(1500)
    atOnce--
    return toPng()
  }
  let colour = 0
  screen.connect({ refresh: () => draw(screen, 1), update: () => draw(screen, ++colour & 255) })
  await display.open(process.stderr)
  await expect.poll(() => writes).toBeGreaterThan(1)
  await display.finish()
  await display.close()
  expect(most).toBe(1)
  expect(errors).toEqual([])
  expect(isPng(join(scratch, 'slow.png'))).toBe(true)
})

test('--display png:FILE keeps the picture in a file', async () => {
  const path = join(scratch, 'live.png')
  const host = new FakeHost(async () => {
    const screen = host.created[0]!.screen!
    const refresh = (): void => draw(screen, 7)
    screen.connect({ refresh, update: refresh })
    while (!existsSync(path)) await new Promise((resolve) => setTimeout(resolve, 20))
    return { reason: 'power-off' }
  })
  expect(await runSession(settings({ kind: 'png', path }), host)).toBe(0)
  expect(isPng(path)).toBe(true)
})

test('--display terminal shows the picture, and gives the terminal back', async () => {
  const host = drawing([0])
  expect(await runSession(settings({ kind: 'terminal' }), host)).toBe(0)
  expect(host.stdout.text.startsWith('\u001b[0m\u001b[2J')).toBe(true)
  expect(host.stdout.text).toContain('▀')
  expect(host.stdout.text.endsWith('\u001b[0m\u001b[?25h\r\n')).toBe(true)
})

test('--display terminal is drawn anew at the size that its terminal has got', async () => {
  const host = new FakeHost(async () => {
    const { screen } = host.created.at(-1)!
    const { stdout } = host
    screen!.connect({ refresh: () => draw(screen!, 1), update: () => {} })
    const rowsOf = (text: string): number => text.split('▀\u001b[0m\u001b[K').length - 1
    const sizes = [
      { columns: 10, rows: 4 },
      { columns: 20_000, rows: 20_000 },
      { columns: 0, rows: 0 },
    ]
    const rows = sizes.map((size) => {
      Object.assign(stdout, size)
      stdout.text = ''
      stdout.emit('resize')
      expect(stdout.text.startsWith('\u001b[0m\u001b[2J')).toBe(true)
      return rowsOf(stdout.text)
    })
    expect(rows[0]).toBeGreaterThan(0)
    expect(rows[0]).toBeLessThanOrEqual(4)
    expect(rows[1]).toBeGreaterThan(25)
    expect(rows[2]).toBeLessThanOrEqual(25)
    return { reason: 'power-off' }
  })
  expect(await runSession(settings({ kind: 'terminal' }), host)).toBe(0)
  expect(host.stdout.listenerCount('resize')).toBe(0)
})

test('keys of the terminal that shows the picture are those of the guest, but for Ctrl-A and what follows', async () => {
  let noted = ''
  const host = new FakeHost(async () => {
    const { keyboard, screen } = host.created.at(-1)!
    const { stdin, stdout, stderr } = host
    keyboard!.connect({
      input(events) {
        for (const event of events) if (event.kind === 'key' && event.down) noted += `${event.usage.toString(16)} `
        return events.length
      },
    })
    screen!.connect({ refresh: () => draw(screen!, 1), update: () => {} })
    const type = (text: string): string => {
      noted = ''
      stdout.text = ''
      stdin.emit('data', Buffer.from(text))
      return noted.trim()
    }
    expect(stdin.rawModes).toEqual([true])
    expect(type('aB\x03\x1b[A\x1b[1;3Q')).toBe('4 e1 5 e0 6 52 e2 3b')
    expect(type('\x01\x01')).toBe('e0 4')
    expect(type('\x01d')).toBe('e0 e2 4c')
    // What Ctrl-A h shows hides the picture until a key is pressed, which goes nowhere else.
    expect([type('\x01h'), stderr.text]).toEqual(['', ''])
    expect(stdout.text).toMatch(/Ctrl-A x {2}leave[^]*Ctrl-A d {2}press Ctrl-Alt-Delete/)
    screen!.refresh()
    expect(type('a')).toBe('')
    expect([stdout.text.startsWith('\u001b[0m\u001b[2J'), stdout.text.includes('▀')]).toEqual([true, true])
    expect(type('a')).toBe('4')
    host.heedsPowerButton = true
    type('\x01p')
    expect(host.pressed).toBe(1)
    type('\x01x')
    return new Promise(() => {})
  })
  host.stdin.isTTY = true
  expect(await runSession(settings({ kind: 'terminal' }), host)).toBe(0)
  expect(host.stdin.rawModes).toEqual([true, false])
})

test('what a pipe brings is typed on the keyboard, and waits where the guest takes nothing', async () => {
  const german = { kind: 'terminal', layout: 'de' } as const
  const host = new FakeHost(async () => {
    const { keyboard } = host.created.at(-1)!
    let [paused, room] = [0, 0]
    let keys = ''
    host.stdin.pause = () => void paused++
    host.stdin.resume = () => void paused--
    keyboard!.connect({
      input(events) {
        const taken = events.slice(0, room)
        for (const event of taken) if (event.kind === 'key' && event.down) keys += `${event.usage.toString(16)} `
        return taken.length
      },
    })
    host.stdin.emit('data', Buffer.from('z'.repeat(600)))
    expect(paused).toBe(1)
    room = Infinity
    keyboard!.ready()
    await expect.poll(() => paused).toBe(0)
    expect(keys).toBe('1c '.repeat(600))
    return { reason: 'power-off' }
  })
  expect(await runSession(settings(german), host)).toBe(0)
})

test.each([
  ['none', { display: { target: { kind: 'none' } } }, undefined],
  ['vnc', { display: { target: { kind: 'vnc', host: '127.0.0.1', port: 0 } } }, { menu: true, mirrorsScreen: false }],
  ['terminal', { display: { target: { kind: 'terminal' } } }, { menu: true, mirrorsScreen: false }],
] as const)(
  'firmware writes its text to the serial port where nobody sees it otherwise: display %s',
  async (_kind, display, boot) => {
    const host = drawing([1])
    const all = settings({ kind: 'none' })
    await runSession({ ...all, ...display, machine: { ...all.machine, boot: { menu: true } } }, host)
    expect(host.created[0]!.boot).toEqual(boot ?? { menu: true })
  },
)

test.each([{ kind: 'png', path: join(scratch, 'none.png') }, { kind: 'terminal' }] as const)(
  'a machine that cannot be made leaves nobody who looks at its screen: %o',
  async (target) => {
    let screen: Screen | undefined
    const host = Object.assign(drawing([1]), {
      createMachine: async (options: { readonly screen?: Screen }) => {
        screen = options.screen
        throw new Error('no machine')
      },
    })
    await expect(runSession(settings(target), host)).rejects.toThrow('no machine')
    expect(screen?.visible).toBe(false)
    expect(host.stdout.text.endsWith(target.kind === 'terminal' ? '\u001b[0m\u001b[?25h\r\n' : '')).toBe(true)
  },
)

test('--display vnc has a server, whose clients have the keyboard of each machine, until the session ends', async () => {
  const typed: number[] = []
  const keyboards = new Set<unknown>()
  let port = 0
  const host = new FakeHost(async (_guest, boot) => {
    const { keyboard } = host.created.at(-1)!
    keyboards.add(keyboard)
    keyboard!.connect({
      input(events) {
        for (const event of events) if (event.kind === 'key' && event.down) typed.push(event.usage)
        return events.length
      },
    })
    if (boot === 1) return { reason: 'reset' }
    port = Number(/VNC listens on 127\.0\.0\.1:(\d+)\n/.exec(host.stderr.text)![1])
    const socket = connect(port, '127.0.0.1')
    // Version, no password, shared; then the key a.
    for (const bytes of ['RFB 003.008\n', '\x01', '\x01', '\x04\x01\0\0\0\0\0a']) {
      await new Promise((resolve) => socket.once('data', resolve))
      socket.write(bytes, 'latin1')
      if (bytes.length === 8) break
    }
    while (typed.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    return { reason: 'power-off' }
  })
  const target = { kind: 'vnc', host: '127.0.0.1', port: 0 } as const
  expect(await runSession(settings(target), host)).toBe(0)
  expect([typed, keyboards.size]).toEqual([[4], 1])
  await expect(
    new Promise((resolve, reject) => connect(port, '127.0.0.1').once('connect', resolve).once('error', reject)),
  ).rejects.toThrow('ECONNREFUSED')
})

test('--display vnc is not for everybody without a password', async () => {
  const host = new FakeHost(async () => ({ reason: 'power-off' }))
  await expect(runSession(settings({ kind: 'vnc', host: '0.0.0.0', port: 0 }), host)).rejects.toMatchObject({
    code: 'ERR_USAGE',
  })
})

describe('--display', () => {
  test.each([
    ['none', { kind: 'none' }],
    ['terminal', { kind: 'terminal' }],
    ['terminal,layout=de', { kind: 'terminal', layout: 'de' }],
    ['png:a.png', { kind: 'png', path: 'a.png' }],
    ['png:c:/a.png', { kind: 'png', path: 'c:/a.png' }],
    ['vnc', { kind: 'vnc', host: '127.0.0.1', port: 5900 }],
    ['vnc=5901', { kind: 'vnc', host: '127.0.0.1', port: 5901 }],
    ['vnc=:5901', { kind: 'vnc', host: '127.0.0.1', port: 5901 }],
    [
      'vnc=[::1]:5901,password=a,,b,websocket=5700,layout=de',
      { kind: 'vnc', host: '::1', port: 5901, password: 'a,b', webSocketPort: 5700, layout: 'de' },
    ],
  ])('%s', (text, target) => expect(parseDisplay(text)).toEqual(target))
  test.each([
    ['vnc=localhost', 'names no port; write vnc=127.0.0.1:5900'],
    // QEMU's first display after 5900.
    ['vnc=:1', 'a port is expected, not a display number; write vnc=127.0.0.1:5901'],
    ['vnc=:0', 'write vnc=127.0.0.1:5900'],
    ['vnc=[::1]:99', 'write vnc=[::1]:5999'],
    ['vnc=:70000', '70000 is not a port'],
    ['vnc=:5901,passwrd=x', "has no 'passwrd'; it has password, websocket, layout; did you mean 'password'?"],
    ['terminal,layout=xx', "--display terminal: keyboard layout 'xx': expected one of us, gb, de, fr"],
    ['vnc=:5901,layout=xx', "keyboard layout 'xx': expected one of us, gb, de, fr"],
  ])('%s is refused: %s', (text, why) => expect(() => parseDisplay(text)).toThrow(why))
  test.each(['gtk', 'png', 'png:', 'terminal:x', ''])("'%s' is refused with what to write instead", (text) => {
    expect(() => parseDisplay(text)).toThrow(/--display.*write/)
  })
})

test.each([
  { vga: 'none', screenshotOnExit: 'a.png' },
  { vga: 'none', display: { kind: 'terminal' } },
  { screenshotOnExit: '' },
  { display: { kind: 'terminal' }, serial: [{ kind: 'stdio' }] },
] as const)('%o contradict each other', (flags) => {
  expect(() => displaySettings(flags, 'std')).toThrow(expect.objectContaining({ code: 'ERR_USAGE' }))
})

test.each([{ display: { kind: 'png', path: 'a.png' } }, { screenshotOnExit: 'a.png' }] as const)(
  '%o needs a graphics card',
  (flags) => {
    expect(() => displaySettings(flags, 'none')).toThrow('this machine has no graphics card; add --vga std')
    expect(displaySettings({ ...flags, vga: 'std' }, 'none').display).toBeDefined()
    expect(displaySettings(flags, 'std').display).toBeDefined()
    expect(displaySettings({ display: { kind: 'none' } }, 'none')).toEqual({})
  },
)

test('--device ramfb takes the place of the card', () => {
  const device = [parseDevice('ramfb,id=fb')]
  expect(withCardDevice({ device }).vga).toBe('ramfb')
  expect(withCardDevice({ device, vga: 'none' }).vga).toBe('ramfb')
  expect(withCardDevice({ vga: 'std', device: [] }).vga).toBe('std')
  expect(displaySettings(withCardDevice({ screenshotOnExit: 'a.png', device }), 'none').display).toBeDefined()
  expect(() => withCardDevice({ device, vga: 'std' })).toThrow('a machine has one picture')
  expect(() => withCardDevice({ device: [...device, ...device] })).toThrow('a machine has one picture')
  expect(() => withCardDevice({ device: [parseDevice('ramfb,size=1')] })).toThrow("has no 'size'")
})

test('--device VGA is the card, with what its monitor prefers', () => {
  const card = (text: string) => withCardDevice({ device: [parseDevice(text)] })
  expect(card('VGA')).toMatchObject({ vga: 'std', preferredMode: { width: 1280, height: 800 } })
  expect(card('VGA,xres=1024,yres=768')).toMatchObject({ preferredMode: { width: 1024, height: 768 } })
  expect(card('VGA,edid=off').preferredMode).toBeNull()
  expect(() => card('VGA,xres=100')).toThrow('--device VGA: xres=100 is not a number from 320 to 2560')
  expect(() => card('VGA,vgamem_mb=16')).toThrow("--device VGA has no 'vgamem_mb'; it has xres, yres, edid, id")
  expect(() => withCardDevice({ device: [parseDevice('VGA'), parseDevice('ramfb')] })).toThrow('one picture')
  expect(displaySettings({ ...card('VGA'), screenshotOnExit: 'a.png' }, 'none').display).toBeDefined()
})

const DISK = { path: 'a.img', snapshot: false, readOnly: false } as const

test('a kernel has none that is not asked for, and what boots from a disk has one', () => {
  expect(usualVga({ kernel: 'k' }, [DISK])).toBe('none')
  expect(usualVga({ firmware: 'f' }, [])).toBe('none')
  expect(usualVga({}, [DISK])).toBe('std')
})
