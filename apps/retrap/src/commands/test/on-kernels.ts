/** Tests of a file on several kernels: each replaces the kernel of the machine. */
import { readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { cacheDirectory, withScratchFolder } from '@retrap/debian'
import { CliError } from '@retrap/linux-guest/errors'
import { fetchFullLinux, linuxIn } from '@retrap/linux-guest/linux/debian-drivers'
import { buildInitramfs } from '@retrap/linux-guest/linux/initramfs'
import { kernelFileName, type NamedKernel } from '../../guests/linux/kernel-names.ts'
import { kernelPayload } from '@retrap/linux-guest/linux/kernel-payload'
import { fetchLines } from '@retrap/linux-guest/host/files'
import { usage } from '../../options/values.ts'
import { printLines } from '../../print-lines.ts'
import { allPassed, matrixLines } from './matrix.ts'
import type { TestPlan } from './plan.ts'
import { type TestOutcome, writeReport } from './reports.ts'
import { BOOT, peopleLines, readTests, runPlan, type TestFlags, type TestOutputs } from './run-tests.ts'

/** Modules of the initial RAM disk of ours, for machines that have none. */
const DRIVERS = ['virtio_pci', 'virtio_blk', 'virtio_net', 'e1000', 'ahci', 'sd_mod', 'ext4']

/**
 * Runs the tests of a file on kernels, one after another, and prints a table.
 *
 * @returns whether all tests have passed on all kernels
 * @throws CliError for a machine whose kernel cannot be replaced
 */
export async function runOnKernels(
  file: string,
  { kernels = [], ...flags }: TestFlags,
  { stdout, stderr }: TestOutputs,
): Promise<boolean> {
  const plan = await readTests(file, flags)
  const { kernel: own, module } = plan.machine.flags
  if (own === undefined || module !== undefined)
    throw usage(
      `--kernels: ${file}: ${own === undefined ? 'machine.kernel: not there; the kernels come in its place' : 'machine.module: no kernel of Linux takes it; leave it out'}`,
    )
  if (flags.tap === true) throw usage('--tap and --kernels: a table is no TAP; take --junit')
  if (flags.gdb !== undefined && kernels.length > 1) throw usage('--gdb: give the one kernel of the recording')
  const suites = new Map<string, readonly TestOutcome[]>()
  await withScratchFolder(cacheDirectory(), async (scratch) => {
    for (const kernel of kernels) {
      const out = join(flags.out, kernelFileName(kernel))
      await printLines([kernel.name], stdout)
      try {
        const machine = await machineWith(kernel, plan, scratch, (text) => void stderr.write(`retrap: ${text}\n`))
        const outcomes = await runPlan(
          file,
          { ...plan, machine },
          { ...flags, out, kernels: [kernel] },
          { stdout, stderr },
        )
        suites.set(kernel.name, outcomes)
      } catch (error) {
        if (!(error instanceof CliError) || error.code === 'ERR_USAGE') throw error
        const outcome = { name: BOOT, ms: 0, failure: error.message }
        suites.set(kernel.name, [outcome])
        await printLines(peopleLines(outcome), stdout)
      }
    }
  })
  if (flags.gdb !== undefined) return true
  await printLines(matrixLines(suites), stdout)
  await writeReport(flags.junit, suites)
  return allPassed(suites)
}

/** A machine with another kernel. One of Debian's has an initial RAM disk with its modules, unless the machine has one. */
async function machineWith(
  { name, file, release }: NamedKernel,
  { machine }: TestPlan,
  scratch: string,
  tell: (text: string) => void,
): Promise<TestPlan['machine']> {
  const { flags } = machine
  if (release === undefined) return { ...machine, flags: { ...flags, kernel: resolve(file ?? name) } }
  const folder = await fetchFullLinux(release, flags.arch, fetchLines(tell))
  const { kernelPath, busyboxPath, modulePaths } = linuxIn(folder, undefined, DRIVERS)
  const [kernel, initrd] = ['kernel', 'initrd'].map((one) => join(scratch, `${one}-${release}`)) as [string, string]
  const image = await readFile(kernelPath)
  // Firmware unpacks the kernel itself; the machine is faster without that.
  await writeFile(kernel, (flags.firmware === undefined ? await kernelPayload(image) : undefined) ?? image)
  if (flags.initrd !== undefined) return { ...machine, flags: { ...flags, kernel } }
  const [busybox, ...modules] = await Promise.all([busyboxPath, ...modulePaths].map((path) => readFile(path)))
  await writeFile(initrd, buildInitramfs(busybox!, modules))
  return { ...machine, flags: { ...flags, kernel, initrd } }
}
