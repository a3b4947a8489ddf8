/** The site in Safari's engine: one short session. `npm run -s soak -- visitor` is a longer one, in three engines. */
import { type PageServer, servePages } from '@retrap/tooling/page-server'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { offeredGuest } from './support/offered-guest.ts'
import { buildSite } from './support/site.ts'
import { press, terminalOf, tryPlayground, type Visitor } from './support/visitor.ts'
import { launchWebKit, noWebKit } from './support/webkit.ts'

if (noWebKit !== undefined) console.warn(`SKIPPED: the site in WebKit: ${noWebKit}`)

const SYSTEMS = 'systems/systems.json'

describe.skipIf(noWebKit !== undefined)('the site in WebKit', () => {
  let server: PageServer
  let visitor: Visitor
  const asked: string[] = []

  beforeAll(async () => {
    const files = new Map([...(await buildSite()), ...(await offeredGuest())])
    // A site that offers an Arm system as well has the Worker load its board before it is asked for a machine.
    const [small] = JSON.parse(files.get(SYSTEMS)!.toString()) as [object]
    const arm = { title: 'Arm', description: 'For tests.', options: { board: 'virt', kernel: 'none' } }
    files.set(SYSTEMS, Buffer.from(JSON.stringify([small, arm])))
    server = await servePages(files, {
      answer: ({ url = '', headers }) => asked.push(`${headers['sec-fetch-dest']} ${url}`) < 0,
    })
    visitor = await launchWebKit()
  })
  afterAll(async () => {
    await visitor?.close()
    server?.close()
  })
  const click = (label: string): Promise<void> => press(visitor, label)
  const terminal = (): Promise<string> => terminalOf(visitor)

  test('a start makes one machine', async () => {
    await visitor.goto(server.origin)
    expect(await visitor.evaluate(() => crossOriginIsolated && typeof SharedArrayBuffer)).toBe('function')
    await expect.poll(() => asked.some((url) => url.includes('arm-board'))).toBe(true)
    await click('Start Small guest')
    await expect.poll(terminal).toMatch(/retrap> \s*$/)
    await visitor.type('echo typed once\n')
    await expect.poll(terminal).toMatch(/^typed once\s*\n\s*retrap> \s*$/m)
    // Of two machines both would print, and both hear.
    const lines = (await terminal()).split('\n').map((line) => line.trim())
    expect(lines.slice(lines.indexOf('saved here')).filter((line) => line !== '')).toEqual([
      'saved here',
      'retrap> echo typed once',
      'typed once',
      'retrap>',
    ])
    // An import of the entry, which is no module of the Worker's to WebKit, fetches and evaluates it again.
    const entries = asked.filter((request) => request.includes('/machine-worker-'))
    // The service worker keeps a copy.
    expect(entries.filter((request) => !request.startsWith('empty '))).toHaveLength(1)
  })

  test('a device of the playground answers that machine, and a mistake is shown at its line', async () => {
    const { read, mistake } = await tryPlayground(visitor)
    expect(read).toContain('fed90000  6c6c6548 7266206f 54206d6f')
    expect(mistake).toMatch(/^Line 2: TypeError: /)
  })

  test('a private window says that it keeps nothing, over the machine; a service worker keeps the site all the same', async () => {
    const places = (): Promise<string> =>
      visitor.evaluate(() =>
        ['.machine', '.side']
          .map((one) => JSON.stringify(document.querySelector(one)!.getBoundingClientRect()))
          .join(' '),
      )
    await click('Snapshots')
    const before = await places()
    await click('Save now')
    const alert = (): Promise<string> =>
      visitor.evaluate(() => document.querySelector('.alert [role=alert]')?.textContent ?? '')
    await expect.poll(alert).toMatch(/^This browser keeps nothing for this page: .* no private window\.$/)
    expect(await places()).toBe(before)
    const worker = (): Promise<string | undefined> =>
      visitor.evaluate(async () => (await navigator.serviceWorker.getRegistration())?.active?.state)
    await expect.poll(worker, { timeout: 60_000 }).toBe('activated')
  })
})
