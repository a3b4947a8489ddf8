/** Files that a page shares with its guest: Debian's Linux has them by 9P, and the page has what it writes. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { type Browser, launchBrowser, noBrowser, type Page } from '@retrap/tooling/browser'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SYSTEMS_LIST, systemsList } from '../../src/commands/web/debian-system.ts'
import { serveSite, siteFolder, type SiteServer } from '../../src/commands/web/server.ts'
import { shareLinux } from '../support/disk-linux.ts'
import { FIRST_PROCESS } from '../support/first-process.ts'
import { terminalText } from '../support/offered-debian.ts'

/** The first process: the page's files at /mnt, and a shell. */
const AUTO = `${FIRST_PROCESS}/drivers
mount -t 9p -o trans=virtio page /mnt || echo NO MOUNT
export PS1='\\w # '
cd /mnt
setsid cttyhack sh
`

const linux = noBrowser === undefined ? await shareLinux(AUTO) : undefined
const missing = noBrowser ?? (linux === undefined ? 'there is no apt' : undefined)
if (missing !== undefined) console.warn(`SKIPPED: files that a page shares: ${missing}`)

describe.skipIf(missing !== undefined)('a page that shares files', () => {
  const folder = temporaryFolder('files')
  let site: SiteServer
  let browser: Browser
  let page: Page

  beforeAll(async () => {
    const options = {
      kernel: 'systems/vmlinuz',
      initrd: 'systems/initrd.gz#gzip',
      commandLine: 'console=ttyS0 quiet cryptomgr.notests rdinit=/auto',
      memoryBytes: 256 << 20,
      files: true,
    }
    const files = new Map([
      ['systems/vmlinuz', readFileSync(linux!.kernelPath)],
      ['systems/initrd.gz', gzipSync(linux!.initrd)],
      [SYSTEMS_LIST, Buffer.from(systemsList([{ title: 'Linux', description: 'With 9P.', options }]))],
    ])
    mkdirSync(join(folder, 'many', 'deep'), { recursive: true })
    writeFileSync(join(folder, 'note.txt'), 'from the page\n')
    writeFileSync(join(folder, 'many', 'deep', 'one'), '1')
    writeFileSync(join(folder, 'many', 'two'), '22')
    site = await serveSite(siteFolder(), 0, files)
    browser = await launchBrowser()
    page = await browser.newPage()
    // What the page saves for its user.
    await page.evaluateOnNewDocument(() => {
      const own = globalThis as unknown as { saved: Promise<string>[] }
      own.saved = []
      const create = URL.createObjectURL.bind(URL)
      URL.createObjectURL = (file: Blob): string => (own.saved.push(file.text()), create(file))
    })
    await page.goto(site.url, { waitUntil: 'load' })
    await page.locator('::-p-aria(Start Linux)').click()
  })
  afterAll(async () => {
    await browser?.close()
    site?.close()
  })

  /** Types a command, and waits for what it prints. */
  async function shell(command: string, expected: RegExp): Promise<void> {
    await page.focus('.xterm-helper-textarea')
    await page.keyboard.type(`clear; ${command}\n`)
    await expect.poll(() => terminalText(page)).toMatch(expected)
  }

  /** Chooses files, or a folder, as the user does. */
  async function choose(label: string, ...paths: readonly string[]): Promise<void> {
    const input = await page.waitForSelector(`xpath///label[contains(., "${label}")]/input`)
    await (input as unknown as { uploadFile(...paths: readonly string[]): Promise<void> }).uploadFile(...paths)
  }

  test('gives the guest files and folders, and saves what the guest writes', async () => {
    await expect.poll(() => terminalText(page)).toMatch(/\/mnt # \s*$/)
    expect(await terminalText(page)).not.toContain('NO MOUNT')
    await page.locator('::-p-aria(Files[role="tab"])').click()
    await choose('choose files', join(folder, 'note.txt'))
    await page.waitForSelector('::-p-text(The guest has note.txt)')
    await choose('choose a folder', join(folder, 'many'))
    await page.waitForSelector('::-p-text(The guest has 2 files)')
    await shell('cat note.txt many/deep/one many/two; echo .', /^from the page\s*\n122\./m)
    await shell('mkdir -p out; echo back $((6 * 7)) > out/answer; echo done $?', /^done 0/m)
    await page.locator('::-p-aria(Open out)').click()
    await page.locator('::-p-aria(Save answer)').click()
    await expect.poll(() => page.evaluate('Promise.all(saved)') as Promise<readonly string[]>).toEqual(['back 42\n'])
  })
})
