/** `retrap site`: the folder on a plain server, in a browser; and machines that no page has. */
import * as fs from 'node:fs'
import { join } from 'node:path'
import { readCluster, writeClusterRun } from '@retrap/cluster'
import { buildGuestImage } from '@retrap/embedded-guest'
import { launchBrowser, noBrowser } from '@retrap/tooling/browser'
import { servePages } from '@retrap/tooling/page-server'
import { sliceTests } from '@retrap/tooling/slice'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import { siteFolder } from '../../src/commands/web/server.ts'
import { runHere } from '../support/in-process.ts'
import { terminalText } from '../support/offered-debian.ts'

const folder = temporaryFolder('static')
fs.writeFileSync(join(folder, 'guest.bin'), buildGuestImage())
fs.writeFileSync(join(folder, 'disk.img'), new Uint8Array(1 << 20).fill(7))
fs.writeFileSync(join(folder, 'secret'), 'nobody names this')

/** Writes the file of a machine with the embedded guest. */
function machineFile(more: object, name = 'machine.json'): string {
  const path = join(folder, name)
  fs.writeFileSync(path, JSON.stringify({ firmware: 'guest.bin', memory: '16M', vga: 'none', ...more }))
  return path
}

const LIMIT = { deadlineMs: 300_000 }
const missing = fs.existsSync(join(siteFolder(), 'index.html'))
  ? undefined
  : 'the site is not built: npx turbo run build --filter=@retrap/site'
if ((missing ?? noBrowser) !== undefined) console.warn(`SKIPPED: retrap site in a browser: ${missing ?? noBrowser}`)

/** A browser is started. */
const long = sliceTests(3)

describe.skipIf(missing !== undefined)('a site', () => {
  long.skipIf(noBrowser !== undefined)(
    'opens its machine at the prompt, in a folder of a plain server, and a recording',
    { timeout: 300_000 },
    async () => {
      const failures = join(folder, 'failures')
      const tests = [{ name: 'echo lies', type: 'echo two', expect: 'three' }]
      const plan = { machine: { firmware: 'guest.bin', memory: '16M' }, ready: 'retrap> ', tests }
      fs.writeFileSync(join(folder, 'tests.json'), JSON.stringify(plan))
      await runHere(['test', join(folder, 'tests.json'), '--out', failures], LIMIT)
      const out = join(folder, 'site')
      const machine = machineFile({ nic: 'user', drive: { file: 'disk.img', if: 'virtio', format: 'raw' } })
      const run = await runHere(['site', '--machine', machine, '--out', out, '--failures', failures], LIMIT)
      expect([run.code, run.stdout]).toEqual([
        0,
        expect.stringMatching(
          /lists its recordings, and offers machine at its prompt\n[^]*opened by index\.html#open=recordings%2Ftests-json-echo-lies\n/,
        ),
      ])
      expect(fs.readdirSync(join(out, 'machine')).toSorted()).toEqual(['disk0.img', 'firmware.gz', 'machine.snapshot'])
      expect(fs.readFileSync(join(out, 'README.txt'), 'utf8')).toContain('Cross-Origin-Embedder-Policy: require-corp')
      // Nothing of this host is in it but what the file names, and nothing else is left beside it.
      expect(fs.readdirSync(folder).filter((name) => name.startsWith('.'))).toEqual([])
      expect(fs.readFileSync(join(out, 'machine/machine.snapshot'), 'latin1')).not.toContain(folder)
      expect(fs.readFileSync(join(out, 'systems/systems.json'), 'utf8')).not.toContain(folder)

      const names = fs.globSync('**/*', { cwd: out }).filter((name) => fs.statSync(join(out, name)).isFile())
      const files = new Map(names.map((name) => [`pr/7/${name}`, fs.readFileSync(join(out, name))]))
      const server = await servePages(files, { isolated: false })
      const browser = await launchBrowser()
      try {
        const page = await browser.newPage()
        await page.goto(`${server.origin}/pr/7/index.html`, { waitUntil: 'load' })
        await expect.poll(() => page.evaluate('crossOriginIsolated').catch(() => false)).toBe(true)
        // A visitor sees first what has failed, and comes back to that.
        const text = (): Promise<string> => page.evaluate('document.body.innerText') as Promise<string>
        const listed =
          /^A run has failed$[^]*tests-json-echo-lies echo lies: expected "three" in what 'echo two' prints \S/m
        await expect.poll(text).toMatch(listed)
        await page.locator('::-p-aria(tests-json-echo-lies)').click()
        await expect.poll(() => terminalText(page)).toMatch(/echo two\s+two\s+retrap> \s*$/)
        await page.locator('::-p-aria(Close)').click()
        await expect.poll(text).toMatch(listed)
        await page.locator('::-p-aria(Start machine)').click()
        await expect.poll(() => terminalText(page).catch(() => '')).toMatch(/retrap> \s*$/)
        await page.locator('.xterm').click()
        await page.keyboard.type('echo $ it runs\n')
        await expect.poll(() => terminalText(page)).toMatch(/\n\$ it runs\s+retrap> \s*$/)
        const other = await browser.newPage()
        await other.goto(`${server.origin}/pr/7/index.html#open=recordings%2Ftests-json-echo-lies`, {
          waitUntil: 'load',
        })
        await expect.poll(() => terminalText(other)).toMatch(/two\s+retrap> \s*$/)
        await other.locator('::-p-aria(Close)').click()
        await expect.poll(() => other.evaluate('document.body.innerText')).toMatch(listed)
        await expect.poll(() => other.evaluate('location.href')).toBe(`${server.origin}/pr/7/index.html`)
      } finally {
        await browser.close()
        server.close()
      }
    },
  )

  test('a machine that comes to no prompt leaves nothing', async () => {
    const out = join(folder, 'none')
    const run = await runHere(
      ['site', '--machine', machineFile({}), '--out', out, '--ready', 'never', '--timeout', '1'],
      LIMIT,
    )
    expect([run.code, run.stderr]).toEqual([
      74,
      expect.stringMatching(/ended before it printed "never": ended by --timeout after 1 s; it has printed ".+"/),
    ])
    expect([fs.existsSync(out), fs.readdirSync(folder).filter((name) => name.startsWith('.'))]).toEqual([false, []])
  })

  test.each([
    [{ virtfs: 'local,path=/,mount_tag=x,security_model=none' }, /virtfs: a page has no folders of this host/],
    [{ netdev: 'user,id=n' }, /netdev: a page has one network/],
    [{ nic: 'user,hostfwd=tcp::2222-:22' }, /nic: a page does not follow 'hostfwd'/],
    [{ nic: 'hubport,hubid=0' }, /nic: hubport: a page reaches no network of this host/],
    [{ device: 'exec:./model' }, /device: exec:\.\/model: a page has qemu-xhci, .* no models or programs of this host/],
    [{ devices: 'worker' }, /devices: a page has no programs/],
    [{ serial: ['stdio', 'none'] }, /serial: a page has the first serial port/],
    [{ timeout: 5 }, /timeout: a machine in a page has no such option/],
    [{ drive: { file: 'disk.img', format: 'raw', serial: 'x' } }, /disk\.img: a drive of a page has no bootindex/],
    [{ hda: 'https://example.com/disk.img' }, /it is an address; a site has its own files/],
    [{ hda: 'above.qcow2' }, /above\.qcow2: it lies above another image/],
    [{ hda: 'nothing.img' }, /nothing\.img: there is no such file/],
    [{ arch: 'arm64' }, /arch: an Arm board in a page starts a kernel/],
  ])('%j is refused by a sentence, before anything is booted', async (more, message) => {
    const above = Buffer.alloc(512)
    above.write('QFI\u00fb', 'latin1')
    above.writeBigUInt64BE(64n, 8)
    fs.writeFileSync(join(folder, 'above.qcow2'), above)
    const run = await runHere(['site', '--machine', machineFile(more, 'bad.json'), '--out', join(folder, 'bad')], LIMIT)
    expect([run.code, run.stderr]).toEqual([74, expect.stringMatching(message)])
    expect([run.stderr.includes('booting'), fs.existsSync(join(folder, 'bad'))]).toEqual([false, false])
  })

  test('recordings need no machine: the run of a cluster is listed with its failure, and a damaged one is refused', async () => {
    const [path, out] = [join(folder, 'three.run'), join(folder, 'runs')]
    const machines = [{ name: 'one', number: 0, starts: [] }]
    const run = {
      ...{ seed: 1, branch: 0, failure: 'check ended with 1', ns: 9, faults: [], events: [], frames: [] },
      machines,
    }
    const pieces: Uint8Array[] = []
    const description = readCluster({ machines: [{ name: 'one' }] })
    await writeClusterRun({ ...run, description }, [], (bytes) => pieces.push(bytes))
    fs.writeFileSync(path, Buffer.concat(pieces))
    const made = await runHere(['site', '--recording', path, '--out', out], LIMIT)
    expect([made.code, made.stdout]).toEqual([0, expect.stringMatching(/index\.html#lanes=recordings%2Fthree\.run\n/)])
    expect(JSON.parse(fs.readFileSync(join(out, 'systems/systems.json'), 'utf8'))).toMatchObject([
      { title: 'three.run', failure: 'check ended with 1', cluster: 'recordings/three.run' },
    ])
    fs.truncateSync(path, 600)
    for (const [given, why] of [
      [['--recording', path], /three\.run/],
      [[], /needs --machine, --recording/],
    ] as const)
      expect((await runHere(['site', ...given, '--out', `${out}-bad`], LIMIT)).stderr).toMatch(why)
  })

  test('a folder with other files is refused', async () => {
    const other = join(folder, 'other')
    fs.mkdirSync(other)
    fs.writeFileSync(join(other, 'file'), '')
    const run = await runHere(['site', '--machine', machineFile({}), '--out', other], LIMIT)
    expect([run.code, run.stderr]).toEqual([74, expect.stringMatching(/other: it has other files/)])
    expect(fs.readdirSync(other)).toEqual(['file'])
  })
})
