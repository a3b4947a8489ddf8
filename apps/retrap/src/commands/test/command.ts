/** `retrap test FILE`. */
import { join } from 'node:path'
import { type Command } from 'commander'
import { ExitCode } from '../../exit-codes.ts'
import { parseKernels } from '../../guests/linux/kernel-names.ts'
import { wholeFrom } from '../../options/values.ts'
import type { TestFlags, TestOutputs } from './run-tests.ts'

const HELP = `
The file is JSON:
  { "machine": { "kernel": "vmlinuz", "initrd": "initrd.img", "append": "console=ttyS0", "memory": "256M" },
    "ready": "/ # ",
    "tests": [{ "name": "the shell computes", "type": "echo $((6 * 7))", "expect": "42" }] }

The machine is booted once, until its first serial port says what "ready" has. Each test begins at that instant: it types a line, and
expects a text in what is printed up to "prompt" (default "ready"). A machine has the options of a machine.json by their names, such
as "nic": "user" and "device": ["isa-debug-exit"], and "disks", which are images, too. Those that lead to the host or belong to a run
are refused. Image files stay as they are. Files are looked for in the folder of this one.
A step types a line ("type"), presses keys ("press": "Escape"), waits for a text on the serial port ("expect") or on the screen in a
text mode ("screen"), and takes a picture ("screenshot": "menu.png"), in this order. "boot" has a list of steps from power-on, before
"ready"; a test is one step, or has a list of "steps". "enter" is the end of a typed line: "\\n", or "\\r" for UEFI's shell.
"timeout" (60) and "bootTimeout" (300) are in seconds; a test may have a "timeout" of its own.

--kernels debian:11,debian:13,bzImage boots the machine with each of these kernels ('retrap kernels' lists Debian's), and prints a table of
tests and kernels. The machine must have a "kernel", and keeps its "append" and its "initrd"; without an "initrd" a kernel of Debian's gets
a RAM disk with its drivers for virtio, AHCI, e1000 and ext4, and a busybox shell whose prompt is "/ # ".

A test that fails leaves a folder behind: its output, its screen, and its recorded run, which --gdb opens for gdb, backwards too.
The exit code is 1 if a test has failed.`

/** Adds the command. @param report - gets the exit code */
export function addTest(program: Command, { stdout, stderr }: TestOutputs, report: (code: number) => void): void {
  program
    .command('test')
    .description('Run tests of a kernel or a system, each from the same instant of a machine that is booted once')
    .argument('<file>', 'the tests, as JSON')
    .option('--tap', 'print TAP, version 14')
    .option('--junit <file>', 'write a report as JUnit XML')
    .option(
      '--kernels <names>',
      "run the tests on each of these in place of the machine's kernel, and print a table",
      parseKernels,
    )
    .option('--filter <text>', 'run only tests with this in their names')
    .option('--out <folder>', 'leave the files of failing tests there', join('temp', 'retrap'))
    .option('--gdb <folder>', 'open the recording of a failing test for gdb, and run no test')
    .option(
      '--gdb-port <port>',
      'the port for it, on 127.0.0.1 (default: one that is free)',
      wholeFrom('--gdb-port', 0, 0xffff),
    )
    .addHelpText('after', HELP)
    .action(async (file: string, flags: TestFlags) => {
      // The modules load both kinds of machines.
      const run =
        flags.kernels === undefined
          ? (await import('./run-tests.ts')).runTests
          : (await import('./on-kernels.ts')).runOnKernels
      if (!(await run(file, flags, { stdout, stderr }))) report(ExitCode.TestFailed)
    })
}
