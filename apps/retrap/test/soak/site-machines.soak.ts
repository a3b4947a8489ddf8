// `retrap site` of machines of each kind that a page has: boards, drives, cards, USB, sound, a BIOS. Each step writes the site of one,
// opens it in a Chromium that has nothing kept, finds it at its prompt, and has the shell compute and read a disk.
// @programs: chromium-headless-shell
import { globSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { launchBrowser } from '@retrap/tooling/browser'
import { debianMembers } from '@retrap/tooling/debian'
import { servePages } from '@retrap/tooling/page-server'
import type { Soak } from '@retrap/tooling/soak'
import { buildInitramfs } from '@retrap/linux-guest/linux/initramfs'
import { debianFilesIn, debianPackages } from '../../src/commands/web/debian-files.ts'
import { runRetrap } from '../support/processes.ts'

const DEADLINE_MS = 600_000
/** The host may be busy. */
const WAIT_MS = 120_000
const DISK_BYTES = 4 << 20
const PC = { kernel: 'vmlinuz-amd64', initrd: 'initrd-amd64', append: 'console=ttyS0 quiet', memory: '256M' }
const ARM = {
  arch: 'arm64',
  kernel: 'vmlinuz-arm64',
  initrd: 'initrd-arm64',
  append: 'console=ttyAMA0 quiet',
  memory: '256M',
}

const drive = (name: string, more: object): object => ({ file: `${name}.img`, format: 'raw', ...more })

/** A machine, and the disk that its guest reads; a BIOS alone has no shell. */
interface Case {
  readonly machine: object
  readonly disk?: string
  readonly ready?: string
}

const CASES: Readonly<Record<string, Case>> = {
  plain: { machine: PC },
  drives: {
    machine: { ...PC, drive: [drive('a', { if: 'ide' }), drive('b', { if: 'virtio' }), drive('c', { if: 'scsi' })] },
    disk: 'vda',
  },
  q35: { machine: { ...PC, machine: 'q35', cpus: 2, hda: 'a.img', nic: 'user,model=e1000' } },
  devices: {
    machine: {
      ...PC,
      drive: [drive('a', { if: 'none', id: 'x' }), drive('b', { if: 'none', id: 'y' })],
      device: ['qemu-xhci', 'usb-tablet', 'AC97', { name: 'nvme', drive: 'x' }, { name: 'usb-storage', drive: 'y' }],
      nic: 'user',
    },
    disk: 'nvme0n1',
  },
  screen: { machine: { ...PC, vga: 'std' } },
  floppy: { machine: { ...PC, fda: 'floppy.img', cdrom: 'disc.iso' } },
  arm: { machine: { ...ARM, cpus: 2, nic: 'user', drive: drive('a', { if: 'virtio' }) }, disk: 'vda' },
  bios: { machine: { hda: 'boot.img', memory: '64M' }, ready: 'Booting from Hard Disk' },
}
const NAMES = Object.keys(CASES)

let folder = ''

export const soak: Soak = {
  name: 'site-machines',
  count: NAMES.length,
  async setup() {
    folder = mkdtempSync(join(tmpdir(), 'retrap-site-machines-'))
    for (const architecture of ['amd64', 'arm64'] as const) {
      const members = await debianMembers(debianPackages(architecture))
      if (members === undefined) throw new Error('there is no apt')
      const [kernel = '', busybox = ''] = members
      const linux = debianFilesIn(architecture, kernel, busybox)
      const modules = linux.modulePaths.map((path) => readFileSync(path))
      writeFileSync(join(folder, `vmlinuz-${architecture}`), readFileSync(linux.kernelPath))
      const initrd = buildInitramfs(readFileSync(linux.busyboxPath), modules, { isKept: true })
      writeFileSync(join(folder, `initrd-${architecture}`), initrd)
    }
    for (const name of ['a', 'b', 'c'])
      writeFileSync(join(folder, `${name}.img`), new Uint8Array(DISK_BYTES).fill(0x41))
    writeFileSync(join(folder, 'floppy.img'), new Uint8Array(1440 << 10))
    const disc = Buffer.alloc(1 << 20)
    disc.write('\u0001CD001', 0x8000)
    writeFileSync(join(folder, 'disc.iso'), disc)
    // A boot sector that stays where it is: JMP to itself.
    const boot = Buffer.alloc(1 << 20)
    boot.writeUInt16BE(0xebfe, 0)
    boot.writeUInt16BE(0x55aa, 510)
    writeFileSync(join(folder, 'boot.img'), boot)
  },
  async step(rng, index) {
    const name = NAMES[index % NAMES.length]!
    const { machine, disk, ready } = CASES[name]!
    rng.note('machine', name)
    const path = join(folder, `${name}.json`)
    writeFileSync(path, JSON.stringify(machine))
    const out = join(folder, 'site')
    const readyText = ready === undefined ? [] : ['--ready', ready]
    const made = await runRetrap(['site', '--machine', path, '--out', out, ...readyText], { deadlineMs: DEADLINE_MS })
    if (made.code !== 0) throw new Error(`it ended with ${made.code}: ${made.stderr}`)
    const files = globSync('**/*', { cwd: out }).filter((one) => statSync(join(out, one)).isFile())
    const contents = files.map((one) => [`pr/${one.replaceAll('\\', '/')}`, readFileSync(join(out, one))] as const)
    const server = await servePages(new Map(contents), { isolated: rng.below(2) === 0 })
    const browser = await launchBrowser()
    try {
      const page = await browser.newPage()
      page.setDefaultTimeout(WAIT_MS)
      const until = async (condition: string): Promise<void> => {
        const end = performance.now() + WAIT_MS
        while (!((await page.evaluate(condition).catch(() => false)) as boolean)) {
          if (performance.now() > end)
            throw new Error(
              `${condition}: not within ${WAIT_MS} ms; the page has ${String(await page.evaluate('document.body.innerText'))}`,
            )
          await sleep(100)
        }
      }
      await page.goto(`${server.origin}/pr/index.html`, { waitUntil: 'load' })
      await until('crossOriginIsolated && document.querySelector(".xterm-rows") !== null')
      const rows = "[...document.querySelectorAll('.xterm-rows > div')].map((row) => row.textContent).join('')"
      if (ready === undefined) {
        await until(String.raw`/\/ # \s*$/.test(${rows})`)
        const [a, b] = [rng.below(1 << 20), rng.below(1 << 10)]
        const read = disk === undefined ? '' : `; head -c 8 /dev/${disk}`
        // A screen that comes takes the keys.
        await sleep(2000)
        await page.focus('.xterm-helper-textarea')
        await page.keyboard.type(`echo $((${a} * ${b}))${read}; echo over\n`)
        const shown = `${a * b}\\s*${disk === undefined ? '' : 'A{8}'}\\s*over`
        await until(String.raw`/${shown}/.test(${rows})`)
      } else {
        await until('document.querySelector(".status")?.textContent.includes("Running")')
        await sleep(2000)
      }
      const alert = await page.evaluate('document.querySelector("[role=alert]")?.textContent ?? ""')
      if (alert !== '') throw new Error(`${name}: the page says ${String(alert)}`)
    } finally {
      await browser.close()
      server.close()
    }
  },
  async teardown() {
    rmSync(folder, { recursive: true, force: true })
  },
}
