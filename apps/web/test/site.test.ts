/** The site, as a person uses it: in Chromium, by its buttons and keys. */
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { armImage, movz } from '@retrap/tooling/arm-image'
import { debianMembers } from '@retrap/tooling/debian'
import { sliceTests } from '@retrap/tooling/slice'
import type { ElementHandle, Page } from 'puppeteer-core'
import { afterAll, afterEach, beforeAll, expect } from 'vitest'
import { describeSite } from './support/describe-site.ts'
import { greetingCd, greetingDisk } from './support/boot-sector.ts'
import { offeredGuest } from './support/offered-guest.ts'
import { dropOn, newPage, replaceText, terminalText } from './support/page.ts'
import { readFont, textOnScreen } from './support/text-screen.ts'

const test = sliceTests(6)

const INSPECTOR = '#panel-inspector'
/** The images of the start page's form: below it are kept disks. */
const CHOSEN = '[aria-label="Chosen images"]'
const debian = await debianMembers([
  { package: 'seabios', members: ['./usr/share/seabios/bios-256k.bin', './usr/share/seabios/vgabios-stdvga.bin'] },
])
const SEABIOS = debian === undefined ? undefined : join(debian[0]!, 'usr/share/seabios')

const linux = await debianMembers([
  { package: 'linux-image-cloud-amd64', members: ['./boot/*', './lib/modules/*'], dependency: 'linux-image-' },
])
const LINUX = linux === undefined ? undefined : globSync(join(linux[0]!, 'boot/vmlinuz-*'))[0]

describeSite('the site', (site) => {
  const folder = mkdtempSync(join(tmpdir(), 'retrap-site-test-'))
  let page: Page
  let said: string[]

  beforeAll(async () => {
    site.files.set('small.img', new Uint8Array(1 << 20))
    site.files.set(
      'broken.qcow2',
      Uint8Array.from({ length: 4096 }, (_, i) => [0x51, 0x46, 0x49, 0xfb, 0, 0, 0, 3][i] ?? 0xee),
    )
    // It reads the serial port's flags for ever: ldr w3, [x1, #0x18]; b back to it.
    site.files.set('loop.Image', armImage(movz(1, 0x0900, 16), 0xb940_1823, 0x17ff_ffff))
    for (const [name, content] of await offeredGuest()) site.files.set(name, content)
    if (LINUX !== undefined) site.files.set('vmlinuz', readFileSync(LINUX))
  })
  afterAll(async () => {
    rmSync(folder, { recursive: true })
  })
  afterEach(async () => {
    // The next test has no machine of this one to go on with.
    const dropKept = async (): Promise<void> =>
      (await navigator.storage.getDirectory()).removeEntry('snapshots', { recursive: true })
    await page.evaluate(dropKept).catch(() => {})
    await page.close()
  })

  async function open(hash = ''): Promise<void> {
    said = []
    page = await newPage(site.browser, said)
    await page.goto(`${site.server.origin}/${hash}`, { waitUntil: 'load' })
    await page.waitForSelector('h1')
  }
  const click = async (name: string): Promise<void> => {
    await page.locator(`::-p-aria(${name})`).click()
  }
  const terminal = (): Promise<string> => terminalText(page)
  const status = (): Promise<string> =>
    page.evaluate(() => {
      // Without what is kept of the machine, which comes from time to time.
      const said = [...(document.querySelector('.status')?.childNodes ?? [])].filter(
        ({ nodeName }) => nodeName !== 'SPAN',
      )
      return said
        .map(({ textContent }) => textContent)
        .join('')
        .trim()
    })
  const fromMore = (name: string): Promise<void> => click('More[role="button"]').then(() => click(name))
  const openTab = (name: string): Promise<void> => click(`${name}[role="tab"]`)
  const saved = (): Promise<number> => page.$$eval('.time li:not(.now)', (rows) => rows.length)
  const choose = async (...files: readonly string[]): Promise<void> => {
    const input = (await page.$('.drop input[type=file]')) as ElementHandle<HTMLInputElement>
    await input.uploadFile(...files)
    await expect.poll(() => page.$$eval(`${CHOSEN} li`, (rows) => rows.length)).toBe(files.length)
  }

  /** Writes files that are damaged: they hide none of the others. */
  const damage = (...names: readonly string[]): Promise<void> =>
    page.evaluate(async (all) => {
      const root = await navigator.storage.getDirectory()
      const folder = await root.getDirectoryHandle('snapshots', { create: true })
      for (const name of all) {
        const file = await (await folder.getFileHandle(name, { create: true })).createWritable()
        await file.write('{')
        await file.close()
      }
    }, names)

  test.each([
    { what: 'a kernel', hash: '#kernel=small.img', error: /kernel/ },
    { what: 'a kernel for Arm', hash: '#board=virt&kernel=small.img', error: /kernel/ },
    { what: 'a qcow2 image', hash: '#firmware=guest.bin&disk=broken.qcow2', error: /disk0: .*damaged/ },
  ])('$what that is none is told; the page goes on and starts another machine', async ({ hash, error }) => {
    await open(hash)
    await click('Start')
    await page.waitForSelector('[role=alert]')
    expect(await page.$eval('[role=alert]', (alert) => alert.textContent)).toMatch(error)
    await click('Close')
    await click('Start the embedded guest')
    await expect.poll(terminal).toMatch(/retrap> \s*$/)
  })

  test('a disk is kept where the user wants it, shown at the start, and deleted', async () => {
    // A link keeps nothing: its guest would read what the user's guests have written.
    await open('#firmware=guest.bin&disk=small.img&cdrom=small.img&keep=yes')
    const isKept = (): Promise<boolean> => page.$eval('.check input', (box) => (box as HTMLInputElement).checked)
    expect(await isKept()).toBe(false)
    await page.locator('.check input').click()
    await page.reload()
    await page.waitForSelector('.check input')
    expect(await isKept()).toBe(true)
    await click('Start')
    await expect.poll(terminal).toMatch(/retrap> \s*$/)
    // A CD is changed, and that is confirmed.
    const disc = join(folder, 'disc.iso')
    writeFileSync(disc, new Uint8Array(2048))
    await ((await page.$('#more input[type=file]')) as ElementHandle<HTMLInputElement>).uploadFile(disc)
    await expect.poll(status).toBe('Running In the CD drive: disc.iso.')
    await fromMore('Eject CD')
    await expect.poll(status).toBe('Running The CD is out.')
    // The disk's strip is there, as there is one.
    await openTab('Devices')
    await page.waitForSelector('.strips')
    await page.click('[aria-label="Delay of contents of disks"] input[value="300"]')
    await page.waitForSelector('.impaired')
    await openTab('Snapshots')
    await click('Save now')
    await expect.poll(() => page.evaluate(() => document.body.textContent)).toContain('has no snapshots')
    // What is wrong is gone when the user has read it.
    await click('Dismiss')
    await expect.poll(() => page.$$eval('[role=alert]', (all) => all.length)).toBe(0)
    await click('Close')
    await click('Close it')
    // puppeteer's own wait for it does not hear of a text that changes.
    await expect
      .poll(() => page.$$eval('summary', (all) => all.map((one) => one.textContent)))
      .toContain('Disks that this browser keeps (1)')
    // A click that is tried again on a busy host, as that on Close, closes it where it comes late.
    const openKept = (): Promise<unknown> =>
      page.$eval('::-p-xpath(//details[summary[contains(., "Disks that this browser keeps")]])', (one) => {
        ;(one as HTMLDetailsElement).open = true
      })
    await openKept()
    await expect
      .poll(() => page.$$eval('[aria-label="Kept disks"] .name', ([one]) => one?.textContent))
      .toMatch(/^small\.img: \d+ KiB, over http.*\/small\.img$/)
    // The browser gives up a closed machine's files a little later.
    await expect
      .poll(async () => {
        await page.$eval('[aria-label="Delete small.img"]', (button) => (button as HTMLElement).click()).catch(() => {})
        return page.$$eval('[aria-label="Kept disks"] li', (rows) => rows.length)
      })
      .toBe(0)
    // One comes in again, by any script's letters, for the image that the user says.
    const file = join(folder, 'Übung 日本.qcow2')
    writeFileSync(file, Uint8Array.of(0x51, 0x46, 0x49, 0xfb, 0, 0, 0, 3))
    const input = (await page.$(
      '::-p-xpath(//label[normalize-space(.)="Import"]/input)',
    )) as ElementHandle<HTMLInputElement>
    await input.uploadFile(file)
    const name = '::-p-aria(For the disk image named)'
    await expect
      .poll(async () => {
        await openKept()
        const shown = (): Promise<string> => page.evaluate(() => `no form in: ${document.body.innerText}`)
        return page.$eval(name, (one) => (one as HTMLInputElement).value).catch(shown)
      })
      .toBe('Übung-日本')
    await replaceText(page, name, '日本.img')
    await click('Import it')
    await expect
      .poll(() => page.$$eval('[aria-label="Kept disks"] .name', ([one]) => one?.textContent))
      .toMatch(/^日本\.img: /)
  })

  test('a system at its prompt goes on by one click; it is saved, goes back, and goes on in another tab', async () => {
    await open()
    await click('Start Small guest')
    await expect.poll(terminal).toMatch(/echo saved here\s*\nsaved here\s*\n\s*retrap> \s*$/)
    await page.keyboard.type('echo one\n')
    await expect.poll(terminal).toMatch(/\none\s*\n\s*retrap> \s*$/)
    await damage('0-first.json', 'z-first.json')
    await openTab('Snapshots')
    await click('Save now')
    await page.waitForSelector('::-p-aria(Go back)')
    await replaceText(page, '::-p-aria(Name of Snapshot 1)', 'before two')
    await page.keyboard.press('Tab')
    await page.waitForSelector('::-p-aria(Name of before two)')
    await page.evaluate(() => document.querySelector<HTMLElement>('.xterm-helper-textarea')!.focus())
    await page.keyboard.type('echo two\n')
    await expect.poll(terminal).toMatch(/\ntwo\s*\n\s*retrap> \s*$/)
    await click('Go back')
    await expect.poll(terminal).toMatch(/\none\s*\n\s*retrap> \s*$/)
    expect(await terminal()).not.toContain('two')
    const hash = await page.$eval('.time a', (link) => link.getAttribute('href')!)
    const before = page
    // Its tab was closed meanwhile.
    await open(hash)
    await before.close()
    await expect.poll(terminal).toMatch(/\none\s*\n\s*retrap> \s*$/)
    await page.evaluate(() => document.querySelector<HTMLElement>('.xterm-helper-textarea')!.focus())
    await page.keyboard.type('echo three\n')
    await expect.poll(terminal).toMatch(/\nthree\s*\n\s*retrap> \s*$/)
    await damage('0-later.json', 'z-later.json')
    await openTab('Snapshots')
    await click('Save now')
    await expect.poll(saved).toBe(2)
    // Both are in one line, with now at its end, and have pictures; one that goes back, and is saved, is a branch.
    const lines = (): Promise<string[]> =>
      page.$$eval('.time li', (rows) => rows.map((row) => row.style.gridArea.replaceAll(' ', '')))
    expect(await lines()).toEqual(['1/1', '1/2', '1/3'])
    expect(await page.$$eval('.time img', (all) => all.map(({ naturalWidth }) => naturalWidth))).toEqual([288, 288])
    await page.$eval('.time li button', (button) => button.click())
    await expect.poll(lines).toEqual(['1/1', '1/2', '2/3'])
    for (const left of [1, 0]) {
      await click('Delete')
      await expect.poll(saved).toBe(left)
    }
    expect(said).toEqual([])
  })

  test('what was fetched is shown, and deleted', async () => {
    await open()
    const inPanel = (path: string): string =>
      `::-p-xpath(//details[summary[starts-with(., "What this browser has fetched")]]${path})`
    await click('Start Small guest')
    await expect.poll(terminal).toMatch(/retrap> \s*$/)
    await click('Close')
    await click('Close it')
    const summary = (): Promise<string> => page.$eval(inPanel('/summary'), (one) => one.textContent)
    await expect.poll(summary).toMatch(/fetched \(\d+(\.\d)? [KM]iB\)$/)
    await page.$eval(inPanel(''), (one) => ((one as HTMLDetailsElement).open = true))
    // The browser gives up a closed machine's files a little later.
    await expect
      .poll(async () => {
        await page.$eval(inPanel('//button'), (button) => (button as HTMLElement).click())
        return summary()
      })
      .toBe('What this browser has fetched')
    await expect
      .poll(() => page.$eval(inPanel('//*[@role="status"]'), (one) => one.textContent))
      .toBe('There is nothing left.')
    expect(said).toEqual([])
  })

  test('a page that may keep nothing says so, and does not wait for a browser that asks its user', async () => {
    await open()
    await click('Start Small guest')
    await expect.poll(terminal).toMatch(/retrap> \s*$/)
    await page.evaluate(() => (navigator.storage.persist = () => new Promise(() => {})))
    await openTab('Snapshots')
    await click('Save now')
    await expect.poll(saved).toBe(1)
    await click('Delete')
    await expect.poll(saved).toBe(0)
    await page.setViewport({ width: 1400, height: 900 })
    const place = (): Promise<unknown> =>
      page.$eval('.machine', (one) => one.getBoundingClientRect().toJSON() as unknown)
    const before = await place()
    // As on a server that is neither this computer nor has https.
    await page.evaluate(() => Object.defineProperty(navigator, 'storage', { value: undefined }))
    await click('Save now')
    const alert = (): Promise<string> => page.$eval('[role=alert]', (one) => one.textContent ?? '').catch(() => '')
    await expect.poll(alert).toContain('This browser keeps nothing for this page')
    // It lies over the machine, which keeps its place.
    expect(await place()).toEqual(before)
    expect(said).toEqual([])
  })

  test('the embedded guest starts by one click, is typed to, is paused, reset, and goes without a trace', async () => {
    await open()
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(true)
    await page.setViewport({ width: 1400, height: 900 })
    // The panel that is open at first says something at any moment.
    await page.evaluate(() => {
      const blank = { isSeen: false }
      Object.assign(globalThis, { blank })
      const look = (): void => {
        if (document.querySelector('[role=tabpanel]:not([hidden])')?.textContent === '') blank.isSeen = true
        requestAnimationFrame(look)
      }
      look()
    })
    await click('Start the embedded guest')
    await expect.poll(terminal).toMatch(/retrap> \s*$/)
    expect(await page.evaluate(() => (globalThis as unknown as { blank: { isSeen: boolean } }).blank.isSeen)).toBe(
      false,
    )
    await page.keyboard.type('echo typed by hand\n')
    await expect.poll(terminal).toContain('\ntyped by hand')
    // What is selected has another colour, under the page's policy.
    await page.click('.xterm-rows > div', { count: 3 })
    await page.waitForSelector('.xterm-selection > div')
    await click('Pause')
    await expect.poll(status).toBe('Paused')
    await click('Continue')
    await expect.poll(status).toBe('Running')
    await fromMore('Power button')
    await expect.poll(status).toContain('does not listen')
    await fromMore('Reset')
    await click('Reset it')
    await page.click('.xterm')
    await page.keyboard.type('off\n')
    await expect.poll(status).toBe('Off The machine has ended: power-off.')
    // Another one packs what is saved, at the prompt and later.
    const old = page.workers()
    await click('Close')
    await page.waitForSelector('::-p-aria(Start the embedded guest)')
    // The machine's Workers are gone; the start page has one for the next machine.
    await expect.poll(() => page.workers().length === 1 && !old.includes(page.workers()[0]!)).toBe(true)
    expect(said).toEqual([])
  })

  test('the inspector shows what a slow device does to the guest', async () => {
    await open()
    await click('Start the embedded guest')
    await expect.poll(terminal).toMatch(/retrap> \s*$/)
    await page.setViewport({ width: 1400, height: 900 })
    // Nothing moves when a device is slowed: the notice has its place.
    const places = (): Promise<string> =>
      page.evaluate(() =>
        JSON.stringify(
          [...document.querySelectorAll('.tools button, .serial, .strips li')].map((one) =>
            one.getBoundingClientRect(),
          ),
        ),
      )
    await openTab('Devices')
    await page.waitForSelector('.strips')
    await expect.poll(() => page.$eval('.wait', (one) => one.textContent)).toBe('vCPU 0 is halted')
    const before = await places()
    // Each access of the serial port takes 3 s: the guest waits in the middle of an instruction.
    await page.click('[aria-label="Delay of serial-3f8"] input[value="3000"]')
    await page.click('.xterm')
    await page.keyboard.type('echo hi\n')
    await expect
      .poll(() => page.$eval('#panel-devices', (one) => (one as HTMLElement).innerText))
      .toMatch(/vCPU 0 waits for serial-3f8: .*at 0x3f[\da-f][^]*serial-3f8[^]*\d+ ms/)
    expect(await page.$eval('.impaired span', (one) => one.textContent)).toBe('serial-3f8 +3000 ms')
    expect(await places()).toBe(before)
    await openTab('Inspector')
    const inspector = (): Promise<string> => page.$eval(INSPECTOR, (one) => (one as HTMLElement).innerText)
    await expect.poll(inspector).toMatch(/vCPU 0: 64-bit, waits for a device\s+([0-9a-f]{16} {2}\w+.*\n){6}/)
    await page.evaluate(() => document.querySelectorAll('details').forEach((one) => (one.open = true)))
    await expect
      .poll(inspector)
      .toMatch(
        /Waits for serial-3f8.*at 0x3f[\da-f][^]*RIP\s+[\da-f]{16}[^]*CR3\s+[\da-f]+[^]*CS\s+[\da-f]{4}[^]*instruction in the middle: 1 access[^]*Pass 1\. The next one replays 0 accesses; 1 of 1 reached a device[^]*port-(read|write)\s+0x3f[\da-f]\s+device asked\s+1\s+0\.0[^]*Nothing has been compiled[^]*Local APICs[^]*i8259 pair[^]*ram_rw\s+31\.\d MiB[^]*every server has acknowledged[^]*devices\s+\d+\s+has nothing old/i,
      )
    // The code that waits: its tables are cached, and it is in the guest's firmware.
    const { address } = await page.evaluate(() => {
      const [line = ''] = document.querySelector('#panel-inspector .next')?.textContent?.split(' ') ?? []
      return { address: line }
    })
    await page.type(`${INSPECTOR} form input`, address)
    await click('Follow it')
    await expect
      .poll(inspector)
      .toMatch(
        /PML4E 0\s[^]*table\s+table [\da-f]+\s[^]*PDE \d+\s[^]*page[^]*A walk begins with the cached table of level 2,[^]*is guest-physical[^]*ram_ro, read execute, in an entry of 4 KiB, machine address/,
      )
    await click('Reset all')
    await expect.poll(() => page.$$eval('.impaired', (all) => all.length)).toBe(0)
    await expect.poll(terminal).toContain('\nhi')
    // A port that has failed works again: what was typed meanwhile is not lost with its interrupt.
    await openTab('Devices')
    // A click that is tried again would switch it back.
    const fails = '[aria-label="serial-3f8 fails"]'
    await page.waitForSelector(fails)
    await page.$eval(fails, (one) => (one as HTMLInputElement).click())
    await page.waitForSelector('.impaired')
    await page.click('.xterm')
    await page.keyboard.type('echo back\n')
    await click('Reset all')
    await expect.poll(terminal).toContain('\nback')
    await click('Single step')
    await expect.poll(status).toBe('Paused')
    const note = (): Promise<string> => page.$eval('.instrument .note', (one) => one.textContent ?? '')
    await expect.poll(note).toContain('it has not executed an instruction')
    expect(said).toEqual([])
  })

  test('the inspector shows an Arm board, and slows its serial port', async () => {
    await open('#board=virt&memory=64&kernel=loop.Image')
    await click('Start')
    await openTab('Inspector')
    const inspector = (): Promise<string> => page.$eval(INSPECTOR, (one) => (one as HTMLElement).innerText)
    await expect
      .poll(inspector)
      .toMatch(
        /vCPU 0: A64 at EL1, Non-secure, executes\s+[\da-f]{16} {2}(b|ldr) [^]*vCPU 0 executes[^]*PC\s+[\da-f]{16}[^]*X30[^]*VBAR_EL1/,
      )
    await openTab('Devices')
    await page.locator('[aria-label="Delay of pl011-9000000"] input[value="3000"]').click()
    await page.waitForSelector('.impaired')
    await openTab('Inspector')
    await page.evaluate(() => document.querySelectorAll('details').forEach((one) => (one.open = true)))
    // The load waits: its abort has been taken apart, and its one access is with the device.
    await page.waitForSelector(`${INSPECTOR} [aria-label="Fields of the syndrome"]`)
    await page.evaluate(() => document.querySelectorAll('details').forEach((one) => (one.open = true)))
    expect(await inspector()).toMatch(
      /mmio-read\s+0x9000018\s+device asked\s+4\s+0\.0[^]*ESR_EL2 93[\da-f]{6}\s+A 4-byte read into W3 hit[^]*guest-physical\s+9000018[^]*SRT\s+20:16\s+3\s+register 3/,
    )
    await page.type(`${INSPECTOR} form input`, '9000018')
    await click('Follow it')
    await expect.poll(inspector).toMatch(/9000018 is guest-physical 9000018\s+\w+, no rights/)
    await click('Reset all')
    await expect.poll(inspector).toContain('A64 at EL1, Non-secure, executes')
    await click('Single step')
    await expect.poll(status).toBe('Paused')
    // Recorded, it goes back, to the code and the registers of then, and knows who wrote one.
    await openTab('Debugger')
    await click('Record')
    const panel = (): Promise<string> => page.$eval('#panel-debugger', (one) => (one as HTMLElement).innerText)
    const bar = (): Promise<string> => page.$eval('.instrument', (one) => (one as HTMLElement).innerText)
    await expect.poll(panel).toMatch(/PC\s+[\da-f]{16}[^]*X30[^]*VBAR_EL1/)
    await expect.poll(bar).toMatch(/Now/)
    // Its loop loads X3 in these steps.
    for (let i = 0; i < 12; i++) await click(i < 8 ? 'Step on' : 'Step back')
    await expect.poll(bar).toMatch(/In the past/)
    await expect.poll(panel).toMatch(/[\da-f]{16}\s+(b|ldr) /)
    await page.focus('#panel-debugger .registers')
    // PC, SP, X0 to X3.
    for (const key of ['ArrowDown', 'ArrowDown', 'ArrowDown', 'ArrowRight', 'Enter'] as const)
      await page.keyboard.press(key)
    await (await page.waitForSelector('.menu button:focus'))!.press('Enter')
    await expect.poll(bar).toMatch(/X3: the instruction at 0x40[\da-f]+ of vCPU 0 wrote it/)
    await page.type('#panel-debugger section[aria-label="Change"] input', 'x9')
    await page.type('#panel-debugger section[aria-label="Change"] input.code', '5eed')
    await click('Change …')
    await click('Go on from here, and give up the rest')
    await expect.poll(panel).toMatch(/X9\s+0*5eed/)
    expect(said).toEqual([])
  })

  test('works by the keyboard alone, from the start to the end, and fits a phone in both themes', async () => {
    await open()
    /** Presses a key until the focus is on what has this text. */
    const reach = async (text: RegExp, key: 'Tab' | 'ArrowRight' = 'Tab'): Promise<void> => {
      const focused = (): Promise<string> =>
        page.evaluate(() => {
          const { activeElement: one } = document
          return one?.getAttribute('aria-label') ?? one?.textContent ?? ''
        })
      for (let i = 0; i < 60; i++) {
        await page.keyboard.press(key)
        if (text.test(await focused())) return
      }
      expect.fail(`the focus does not come to ${text}: it is on ${await focused()}`)
    }
    await reach(/^Start the embedded guest$/)
    await page.keyboard.press('Enter')
    await expect.poll(terminal).toMatch(/retrap> \s*$/)
    // Tab and Escape are the guest's; one key that the page names leads out, and on.
    await page.keyboard.press('Tab')
    await page.keyboard.press('Escape')
    expect(await page.evaluate(() => document.activeElement!.className)).toContain('xterm')
    expect(await page.$eval('section:has(> .serial) kbd', (one) => one.textContent)).toBe('Ctrl-Alt-G')
    await page.keyboard.down('Control')
    await page.keyboard.down('Alt')
    await page.keyboard.press('g')
    await page.keyboard.up('Alt')
    await page.keyboard.up('Control')
    await reach(/^Debugger$/)
    await reach(/^Inspector$/, 'ArrowRight')
    await page.waitForSelector('section[aria-label="vCPU 0"]')
    await reach(/^Pause$/)
    await page.keyboard.press('Enter')
    await expect.poll(status).toBe('Paused')
    await reach(/^Type in the terminal$/)
    await page.keyboard.press('Enter')
    expect(await page.evaluate(() => document.activeElement!.className)).toContain('xterm')
    for (const value of ['light', 'dark']) {
      await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value }])
      await page.setViewport({ width: 360, height: 700 })
      await expect.poll(() => page.evaluate(() => document.documentElement.scrollWidth)).toBe(360)
    }
    // The terminal fills its place, less than a letter and a scroll bar, and cuts nothing off.
    const left = (): Promise<number[]> =>
      page.$eval('.serial > div', (one) => {
        const { clientWidth, clientHeight } = one.querySelector('.xterm-screen')!
        return [one.clientWidth - clientWidth, one.clientHeight - clientHeight]
      })
    const fills = async (): Promise<boolean> => (await left()).every((pixels) => pixels >= 0 && pixels < 32)
    for (const size of [
      { width: 390, height: 844 },
      { width: 1400, height: 900 },
    ]) {
      await page.setViewport(size)
      await expect.poll(fills).toBe(true)
    }
    // Below it there are its own line and the debugger's bar, and nothing else.
    const below = await page.$eval('.serial', (one) => {
      const top = document.querySelector('.instrument')!.getBoundingClientRect().top
      return top - one.getBoundingClientRect().bottom
    })
    expect(below).toBeLessThan(64)
    await click('Continue')
    await page.locator('::-p-text(Tell the guest its size)').click()
    await expect.poll(terminal).toMatch(/retrap> stty rows [3-5]\d cols (?:8|9|10)\d/)
    await click('Pause')
    await page.evaluate(() => document.querySelector<HTMLElement>('.tool.more')!.focus())
    await reach(/^Close$/)
    await page.keyboard.press('Enter')
    // It asks; Escape is a no.
    await page.waitForSelector('dialog[open]')
    await page.keyboard.press('Escape')
    await expect.poll(() => page.$$eval('dialog', (all) => all.length)).toBe(0)
    expect(await page.evaluate(() => document.activeElement!.textContent)).toBe('Close')
    // So does the button Back, and a machine that is saved goes on.
    await page.evaluate(() => history.back())
    await page.waitForSelector('dialog[open]')
    await click('Save and close')
    await page.waitForSelector('::-p-xpath(//summary[.="Go on with a machine that you have saved"])')
    expect(said).toEqual([])
  })

  test('a page that is left asks first, and its machine goes on at the next visit', async () => {
    await open()
    await click('Start Small guest')
    await expect.poll(terminal).toMatch(/retrap> \s*$/)
    const kept = (): Promise<string[]> =>
      page.evaluate(async () => {
        const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('snapshots', { create: true })
        const found: string[] = []
        for await (const name of folder.keys()) {
          if (!/^\d{9,}-.*\.json$/.test(name)) continue
          // It is there before it is written.
          const file = await (await folder.getFileHandle(name)).getFile()
          if ((await file.text()).includes('"kept"')) found.push(name)
        }
        return found
      })
    // It is saved at its prompt: a reload at once loses nothing.
    await expect.poll(kept).toHaveLength(1)
    const first = await kept()
    await page.keyboard.type('echo left\n')
    await expect.poll(terminal).toMatch(/\nleft\s*\n\s*retrap> \s*$/)
    // The tab is hidden: it is saved.
    await page.evaluate(() => {
      Object.defineProperty(document, 'hidden', { value: true, configurable: true })
      document.dispatchEvent(new Event('visibilitychange'))
    })
    await expect.poll(async () => (await kept()).filter((name) => !first.includes(name)).length).toBe(1)
    await expect.poll(kept).toHaveLength(1)
    await page.waitForFunction(() => document.querySelector('.status')!.textContent.includes('what came after is lost'))
    const asked: string[] = []
    page.on('dialog', (dialog) => {
      asked.push(dialog.type())
      void dialog.accept()
    })
    await page.reload()
    expect(asked).toEqual(['beforeunload'])
    await page.waitForSelector('::-p-xpath(//h2[.="Small guest, where you left it"])')
    expect(await page.$eval('.main, .hero .panel', (one) => one.textContent)).toMatch(
      /As it was (now|\d+ \w+ ago), at /,
    )
    await click('Go on')
    await expect.poll(terminal).toMatch(/\nleft\s*\n\s*retrap> \s*$/)
    // Another tab is not offered what goes on here.
    const before = page
    await open()
    await page.waitForSelector('::-p-aria(Start Small guest)')
    expect(
      await page.$$eval('h2, h3', (all) => all.filter((one) => one.textContent.includes('you left it')).length),
    ).toBe(0)
    await before.close()
    await page.reload()
    await click('Forget it')
    await expect.poll(kept).toEqual([])
    expect(said).toEqual([])
  })

  test.skipIf(SEABIOS === undefined)(
    'a disk is dropped with SeaBIOS: the screen shows what it prints, and keys',
    async () => {
      await open()
      const disk = join(folder, 'greeting.img')
      writeFileSync(disk, greetingDisk('Hello from a disk. '))
      await choose(disk, join(SEABIOS!, 'bios-256k.bin'), join(SEABIOS!, 'vgabios-stdvga.bin'))
      expect(await page.$$eval(`${CHOSEN} select`, (all) => all.map((one) => one.value))).toEqual([
        'disk',
        'firmware',
        'vgaBios',
      ])
      await click('Start')
      const size = (): Promise<string> => page.$eval('canvas', ({ width, height }) => `${width}×${height}`)
      await expect.poll(size).toBe('720×400')
      // SeaBIOS says who it is, and then the disk has its turn, and reads keys.
      const font = readFont(join(SEABIOS!, 'vgabios-stdvga.bin'))
      const text = (): Promise<string> => textOnScreen(page, font)
      await expect.poll(text).toMatch(/^SeaBIOS \(version [^]*\nHello from a disk\./)
      await page.focus('canvas')
      await page.keyboard.type('keys')
      await expect.poll(text).toMatch(/\nHello from a disk\. keys/)
      // A pixel of the guest is a whole number of the host's.
      expect(await page.$eval('canvas', (canvas) => canvas.clientWidth / canvas.width)).toBe(1)
      expect(said.filter((line) => !line.startsWith('Canvas2D:'))).toEqual([])
    },
  )

  test.skipIf(SEABIOS === undefined)('a CD is dropped, and the BIOS of the site starts it', async () => {
    const names = { firmware: 'bios-256k.bin', vgaBios: 'vgabios-stdvga.bin' }
    const asked: string[] = []
    for (const name of Object.values(names)) site.files.set(`firmware/${name}`, readFileSync(join(SEABIOS!, name)))
    const paths = Object.entries(names).map(([key, name]) => [key, `firmware/${name}`])
    site.files.set('firmware/firmware.json', JSON.stringify(Object.fromEntries(paths)))
    site.files.set('disc.iso', greetingCd('Hello from a CD. '))
    await open()
    page.on('request', (request) => asked.push(new URL(request.url()).pathname.slice(1)))
    await dropOn(page, 'disc.iso', 'disc.iso')
    await expect.poll(() => page.$$eval(`${CHOSEN} select`, (all) => all.map((one) => one.value))).toEqual(['cdrom'])
    const note = (): Promise<string> => page.$eval('form [role=status]', (one) => one.textContent ?? '')
    await expect.poll(note).toBe("This site's BIOS starts it.")
    // Firmware is loaded when a machine needs it.
    expect(asked.filter((path) => path.endsWith('.bin'))).toEqual([])
    await click('Start')
    const font = readFont(join(SEABIOS!, names.vgaBios))
    await expect.poll(() => textOnScreen(page, font)).toMatch(/^SeaBIOS \(version [^]*\nHello from a CD\./)
    expect(said.filter((line) => !line.startsWith('Canvas2D:'))).toEqual([])
    site.files.set('firmware/firmware.json', 'null')
  })

  test.skipIf(SEABIOS === undefined)(
    'a floppy disk starts, the picture is saved, and the disk is changed',
    async () => {
      await open()
      const floppy = join(folder, 'floppy.img')
      const bytes = new Uint8Array(1440 * 1024)
      bytes.set(greetingDisk('Hello from a floppy disk. ').subarray(0, 512))
      writeFileSync(floppy, bytes)
      await choose(floppy, join(SEABIOS!, 'bios-256k.bin'), join(SEABIOS!, 'vgabios-stdvga.bin'))
      expect(await page.$$eval(`${CHOSEN} select`, (all) => all.map((one) => one.value))).toEqual([
        'floppy',
        'firmware',
        'vgaBios',
      ])
      await click('Start[role="button"]')
      const font = readFont(join(SEABIOS!, 'vgabios-stdvga.bin'))
      await expect.poll(() => textOnScreen(page, font)).toContain('Hello from a floppy disk.')
      // What the browser is given to download.
      await page.evaluate(() => {
        const own = URL.createObjectURL.bind(URL)
        URL.createObjectURL = (blob: Blob) => {
          void createImageBitmap(blob).then(({ width, height }) => (document.title = `${blob.type} ${width}×${height}`))
          return own(blob)
        }
      })
      await click('Save picture')
      await expect.poll(() => page.title()).toBe('image/png 720×400')
      await ((await page.$('#more input[type=file]')) as ElementHandle<HTMLInputElement>).uploadFile(floppy)
      await expect.poll(status).toBe('Running In the floppy drive: floppy.img.')
      await fromMore('Eject floppy')
      await expect.poll(status).toBe('Running The floppy is out.')
    },
  )

  test('what goes on from a snapshot has its cable where the machine had it', async () => {
    await open('#memory=16&firmware=guest.bin&vga=none&network=tabs')
    await click('Start[role="button"]')
    await expect.poll(terminal).toMatch(/retrap> \s*$/)
    const networks = (): Promise<unknown[]> =>
      page.evaluate(async () => {
        const root = await (await navigator.storage.getDirectory()).getDirectoryHandle('snapshots', { create: true })
        const found: unknown[] = []
        for await (const name of root.keys()) {
          if (!name.endsWith('.json')) continue
          const text = await (await (await root.getFileHandle(name)).getFile()).text()
          if (text !== '') found.push((JSON.parse(text) as { options: { network: unknown } }).options.network)
        }
        return found
      })
    await openTab('Snapshots')
    await click('Save now')
    // On a busy host the page may have kept the machine as well, and a click may come twice.
    await expect.poll(networks).toContainEqual({ kind: 'tabs' })
    expect(await networks()).not.toContainEqual({ kind: 'fetch' })
    await openTab('Network')
    await page.locator('#panel-network select').fill('fetch')
    await openTab('Snapshots')
    await expect
      .poll(async () => {
        // The cable is plugged in by the machine's Worker, in its turn.
        await page.$eval('#panel-snapshots button.primary', (one) => (one as HTMLButtonElement).click())
        return networks()
      })
      .toContainEqual({ kind: 'fetch' })
  })

  test.skipIf(LINUX === undefined)(
    'a Linux kernel is dropped on the page, and boots until it misses its root',
    async () => {
      await open('#memory=128&commandLine=console%3DttyS0')
      await dropOn(page, 'vmlinuz', 'vmlinuz')
      await expect.poll(() => page.$$eval(`${CHOSEN} select`, ([one]) => one?.value)).toBe('kernel')
      await click('Start')
      await expect.poll(terminal).toMatch(/end Kernel panic - not syncing: VFS: Unable to mount root fs/)
      expect(said).toEqual([])
    },
  )

  test('files that are dropped one after the other are all taken, and what was set meanwhile stays', async () => {
    await open()
    await click('Options: memory, processors, board, network')
    await page.waitForSelector('select[name=memory]')
    await page.evaluate(() => {
      const drop = (name: string): boolean => {
        const dataTransfer = new DataTransfer()
        dataTransfer.items.add(new File([new Uint8Array(512)], name))
        const event = new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true })
        return document.querySelector('.drop')!.dispatchEvent(event)
      }
      drop('one.img')
      drop('two.img')
      const memory = document.querySelector<HTMLSelectElement>('select[name=memory]')!
      memory.value = '64'
      memory.dispatchEvent(new Event('change', { bubbles: true }))
    })
    const names = (): Promise<(string | null)[]> =>
      page.$$eval(`${CHOSEN} .name`, (all) => all.map((one) => one.textContent))
    await expect.poll(names).toEqual(expect.arrayContaining(['one.img', 'two.img']))
    expect(await page.$eval('select[name=memory]', (one) => (one as HTMLSelectElement).value)).toBe('64')
    // A file that was taken out may be chosen again.
    const file = join(folder, 'three.img')
    writeFileSync(file, new Uint8Array(512))
    const input = (await page.$('.drop input[type=file]')) as ElementHandle<HTMLInputElement>
    await input.uploadFile(file)
    await expect.poll(names).toContain('three.img')
    await click('Remove three.img')
    await expect.poll(names).not.toContain('three.img')
    await input.uploadFile(file)
    await expect.poll(names).toContain('three.img')
    // A file that no machine takes is named for what it is.
    const letter = join(folder, 'letter.pdf')
    writeFileSync(letter, '%PDF-1.7')
    await input.uploadFile(letter)
    const alert = (): Promise<string> => page.$eval('[role=alert]', (one) => one.textContent ?? '').catch(() => '')
    await expect.poll(alert).toMatch(/^letter\.pdf is a PDF document\. A machine takes a kernel/)
    expect(await names()).not.toContain('letter.pdf')
    await input.uploadFile(file)
    await expect.poll(alert).toBe('')
  })

  test('the processor is a model of a list with changes, and what is wrong with it is said at the field', async () => {
    await open('#kernel=nowhere&cpu=core2')
    await page.setViewport({ width: 390, height: 844 })
    await page.focus('::-p-aria(Options: memory, processors, board, network)')
    await page.keyboard.press('Enter')
    await page.waitForSelector('[name=cpu]:valid')
    const about = (): Promise<string> => page.$eval('#cpu-about', (one) => one.textContent)
    await expect.poll(about).toMatch(/^core2: Intel Core 2 Duo/)
    await page.locator('[name=cpu]').fill('core2,-sse4_1,+avx')
    await expect.poll(about).toMatch(/: avx needs /)
    expect(await page.$eval('input:invalid', (one) => (one as HTMLInputElement).validationMessage)).toBe(await about())
    await page.locator('[name=cpu]').fill('core2,-sse4_1')
    await page.waitForSelector('[name=cpu]:valid')
    expect(await page.$$eval('#cpu-models option', (all) => all.length)).toBeGreaterThan(10)
    expect(page.url()).toContain('cpu=core2%2C-sse4_1')
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(390)
  })

  test.each([[['machine.json', 'named.img']], [['named.img', 'machine.json']]])(
    'a machine’s file and the image that it names are both taken: %j',
    async (names) => {
      await open()
      const machine = new TextEncoder().encode('{"memory": "64M", "drive": "named.img"}')
      const drop = (name: string) => dropOn(page, name, name.endsWith('.json') ? machine : new Uint8Array(512))
      await Promise.all(names.map(drop))
      await expect.poll(() => page.url()).toContain('#memory=64')
      expect(await page.$$eval(`${CHOSEN} .name`, (all) => all.map((one) => one.textContent))).toEqual(['named.img'])
    },
  )

  test('what is wrong is said: without firmware before the start, and afterwards as an alert', async () => {
    await open('#disk=nowhere.img')
    const problem = (): Promise<string> => page.$eval('form [role=status]', (one) => one.textContent ?? '')
    await expect.poll(problem).toMatch(/this site has none\. Add bios-256k\.bin .* Debian's package seabios/)
    expect(await page.$eval('form button', (one) => one.disabled)).toBe(true)
    await page.close()
    await open('#kernel=nowhere&memory=64')
    expect(await problem()).toBe('')
    await click('Start')
    const alert = (): Promise<string> => page.$eval('[role=alert]', (one) => one.textContent ?? '').catch(() => '')
    await expect.poll(alert).toMatch(/^kernel: .*nowhere: the server answers with status 404$/)
    expect(await status()).toBe('Not started')
    expect(page.workers().length).toBe(0)
  })
})
