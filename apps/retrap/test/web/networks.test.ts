/** Networks of machines in pages: the start page's Debian in Chromium, with other tabs, a relay, and a web server. */
import { createHash, randomBytes } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { Hub } from '@retrap/network'
import { listenWebSocket } from '@retrap/network/node'
import { type Browser, launchBrowser, type Page } from '@retrap/tooling/browser'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { serveSite, siteFolder, type SiteServer } from '../../src/commands/web/server.ts'
import { noDebian, offeredDebian, terminalText as terminal } from '../support/offered-debian.ts'

/** Longer than what a connection holds at once. */
const FILE = randomBytes(1 << 20)

if (noDebian !== undefined) console.warn(`SKIPPED: networks of machines in pages: ${noDebian}`)

describe.skipIf(noDebian !== undefined)('a network in a page', () => {
  let site: SiteServer
  let browser: Browser
  let web: Server
  let port: number

  beforeAll(async () => {
    site = await serveSite(siteFolder(), 0, await offeredDebian())
    web = createServer((request, response) => {
      if (request.url !== '/forbidden') response.setHeader('access-control-allow-origin', '*')
      response.end(request.url === '/file' ? FILE : 'from outside\n')
    })
    web.listen(0, '127.0.0.1')
    await once(web, 'listening')
    port = (web.address() as AddressInfo).port
    browser = await launchBrowser()
  })
  afterAll(async () => {
    await browser?.close()
    site?.close()
    web?.close()
  })

  async function open(at = site, architecture = 'amd64'): Promise<Page> {
    const page = await browser.newPage()
    await page.goto(at.url, { waitUntil: 'load' })
    await page.locator(`::-p-aria(Start Debian ${architecture})`).click()
    await expect.poll(() => terminal(page)).toMatch(/ # \s*$/)
    return page
  }

  /** Types a command, and waits for a line of what it prints. */
  async function shell(page: Page, command: string, expected: RegExp): Promise<void> {
    await page.focus('.xterm-helper-textarea')
    await page.keyboard.type(`clear; ${command}\n`)
    await expect.poll(() => terminal(page)).toMatch(expected)
  }

  async function plug(page: Page, network: string, address?: string): Promise<void> {
    await page.locator('::-p-aria(Network[role="tab"])').click()
    await page.waitForSelector('::-p-aria(Network cable)')
    await page.select('::-p-aria(Network cable)', network)
    if (address === undefined) return
    await page.locator('::-p-aria(Address of the relay)').fill(address)
    await page.locator('::-p-aria(Connect)').click()
  }

  test.each(['amd64', 'arm64'] as const)(
    '%s fetches a file by the name of its host',
    { timeout: 300_000 },
    async (arch) => {
      const own = await serveSite(siteFolder(), 0, await offeredDebian(arch))
      const page = await open(own, arch)
      await shell(page, 'until ip route | grep -q default; do sleep 1; done; echo leased $?', /^leased 0/m)
      // Browsers know names of localhost as the host itself.
      await shell(page, `wget -T 20 -q http://files.localhost:${port}/file; echo got $?`, /^got 0\s*$/m)
      await shell(page, 'sha256sum /file; echo summed', /^summed/m)
      expect((await terminal(page)).replaceAll('\n', '')).toContain(createHash('sha256').update(FILE).digest('hex'))
      await shell(page, 'wget -T 20 -q -O - http://nobody.invalid/; echo got $?', /502[^]*\ngot 1\s*$/m)
      await page.close()
      own.close()
    },
  )

  test(
    'two tabs ping each other, a relay is reached, and a web server that allows it',
    { timeout: 300_000 },
    async () => {
      const pages = [await open(), await open()] as const
      // Hidden tabs run on; what they are typed has to be seen.
      for (const [i, page] of pages.entries()) {
        await page.bringToFront()
        await shell(page, 'until ip route | grep -q default; do sleep 1; done; echo leased $?', /^leased 0/m)
        await shell(page, `wget -q -O - http://10.0.2.2:${port}/allowed; echo got $?`, /from outside\s*\ngot 0/)
        await plug(page, 'tabs')
        await shell(page, `ip addr add 192.168.7.${i + 1}/24 dev eth0; echo done $?`, /^done 0/m)
      }
      await shell(pages[1], 'ping -c 2 192.168.7.1', /2 packets transmitted, 2 packets received/)
      await shell(pages[1], `wget -T 3 -q -O - http://10.0.2.2:${port}/allowed; echo got $?`, /^got 1\s*$/m)
      await pages[0].close()

      const hub = new Hub()
      const relay = await listenWebSocket(hub, { port: 0, origins: [new URL(site.url).origin] })
      const frames: Uint8Array[] = []
      hub.port().connect({ receive: (frame) => frames.push(new Uint8Array(frame)) > 0, drained() {}, linkChanged() {} })
      const page = pages[1]
      await plug(page, 'relay', `ws://127.0.0.1:${relay.port}/`)
      await shell(page, 'ping -c 1 -W 1 192.168.7.77', /1 packets transmitted, 0 packets received/)
      // Who has 192.168.7.77?
      const asked = frames.some(
        (frame) => frame[12] === 8 && frame[13] === 6 && frame.slice(38, 42).join('.') === '192.168.7.77',
      )
      expect(asked).toBe(true)
      relay.close()

      await plug(page, 'fetch')
      await shell(page, `wget -q -O - http://10.0.2.2:${port}/forbidden; echo got $?`, /502[^]*\ngot 1/)
      await shell(page, 'echo | nc -w 5 10.0.2.2 443; echo got $?', /^got 1/m)
      const alert = (): Promise<string> => page.$eval('[role=alert]', (one) => one.textContent ?? '').catch(() => '')
      await expect.poll(alert).toContain('cannot pass through a page')
    },
  )
})
