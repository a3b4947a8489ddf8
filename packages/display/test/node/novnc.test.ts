import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { DisplayRectangle, InputEvent } from '@retrap/device'
import { launchBrowser, noBrowser } from '@retrap/tooling/browser'
import { debianMembers } from '@retrap/tooling/debian'
import { servePages } from '@retrap/tooling/page-server'
import { skipNote } from '@retrap/tooling/skip'
import { expect, test } from 'vitest'
import { Keyboard, Mouse, Screen, VncServer } from '../../src/index.ts'
import { listenVnc, zlibCompressor } from '../../src/node/index.ts'

const DEADLINE_MS = 90_000
const noVnc = await debianMembers([
  { package: 'novnc', members: ['./usr/share/novnc/core/*', './usr/share/novnc/vendor/*'] },
])
const isHere = noBrowser === undefined && noVnc !== undefined

/** What a page of somebody with noVNC has in it. */
const PAGE = `<!doctype html><div id="screen"></div><script type="module">
  import RFB from './core/rfb.js'
  const url = 'ws://127.0.0.1:' + new URLSearchParams(location.search).get('port') + '/'
  window.rfb = new RFB(document.getElementById('screen'), url)
  window.connected = new Promise((resolve) => rfb.addEventListener('connect', () => resolve(true)))
</script>`
/** The canvas's size, its pixels as words in base 36, and its cursor. */
const LOOK = `(() => {
  const canvas = document.querySelector('canvas')
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
  const words = []
  for (let i = 0; i < data.length; i += 4) words.push(((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]).toString(36))
  return { size: [canvas.width, canvas.height], pixels: words.join(' '), cursor: canvas.style.cursor }
})()`

test.skipIf(!isHere)(
  `noVNC shows the screen, follows its size, types, and has a pointer${skipNote(isHere, 'there is no Chromium, or no noVNC')}`,
  async () => {
    const screen = new Screen()
    const [keyboard, mouse] = [new Keyboard(), new Mouse()]
    let pixels = new Uint32Array(0)
    let [width, height] = [0, 0]
    const all = (): readonly DisplayRectangle[] => [{ x: 0, y: 0, width, height }]
    const resize = (columns: number, rows: number): void => {
      ;[width, height] = [columns, rows]
      // A gradient, stripes, a few colours and noise: every kind of rectangle.
      pixels = Uint32Array.from({ length: width * height }, (_, i) => {
        const [x, y] = [i % width, Math.floor(i / width)]
        if (y < 64) return ((x & 255) << 16) | (y << 8) | 0x40
        if (y < 128) return ((x >> 3) & 1) * 0xff_ffff
        return y < 192 ? ((x >> 4) * 0x10_2030) & 0xff_ffff : (Math.imul(i + 1, 0x9e37_79b1) >>> 8) & 0xff_ffff
      })
      screen.setMode({ width, height, stride: 4 * width, format: 'bgrx8888' })
      screen.draw(new Uint8Array(pixels.buffer), all())
    }
    screen.connect({ refresh: () => screen.draw(new Uint8Array(pixels.buffer), all()), update: () => {} })
    const typed: InputEvent[] = []
    keyboard.connect({ input: (events) => typed.push(...events) && events.length })
    resize(320, 240)
    const server = new VncServer({ screen, keyboard, mouse, createCompressor: zlibCompressor })
    const listener = await listenVnc(server, { port: 0, webSocketPort: 0 })
    const root = join(noVnc![0]!, 'usr/share/novnc')
    const scripts = globSync('**/*.js', { cwd: root }).map((name) => [name, readFileSync(join(root, name))] as const)
    const files = await servePages(new Map<string, string | Uint8Array>([['index.html', PAGE], ...scripts]))
    const browser = await launchBrowser()
    try {
      const page = await browser.newPage()
      await page.goto(`${files.origin}/?port=${listener.webSocketPort}`)
      expect(await page.evaluate('window.connected')).toBe(true)
      for (const size of [
        [320, 240],
        [513, 333],
      ] as const) {
        if (size[0] !== width) resize(size[0], size[1])
        const words = [...pixels].map((pixel) => pixel.toString(36)).join(' ')
        await expect
          .poll(async () => (await page.evaluate(LOOK)) as object, { interval: 200 })
          .toMatchObject({ size, pixels: words })
      }
      const { cursor } = (await page.evaluate(LOOK)) as { readonly cursor: string }
      expect(cursor).toMatch(/^url\("?data:image/)
      await page.evaluate("rfb.sendKey(0x41, 'KeyA')")
      await expect.poll(() => typed).toEqual([true, false].map((down) => ({ kind: 'key', usage: 4, down })))
    } finally {
      await browser.close()
      await listener.close()
      files.close()
    }
  },
  DEADLINE_MS,
)
