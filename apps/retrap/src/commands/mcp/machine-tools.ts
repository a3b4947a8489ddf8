import { z } from 'zod'
import { type BootSources, prepareBoot, PROMPTS } from './boot.ts'
import { BOOT_ARGUMENTS } from './boot-arguments.ts'
import { lastOf } from './console-log.ts'
import { closedText } from './forwards.ts'
import { mebibytes } from './machines.ts'
import { machineArgument, type ToolParts, machineToolOf, text, type Tool, tool } from './tool.ts'
import type { ToolMachine } from './tool-machine.ts'

/** Characters of a console that a result has. */
export const MOST_SHOWN = 32_768

const nameArgument = z
  .string()
  .regex(/^[\w-]{1,32}$/)
  .optional()
  .describe('its name: letters, digits, _ and -; default m1, m2 and so on')

function bootTool({ machines, timeout, ...sources }: BootSources & ToolParts): Tool {
  return tool(
    'boot',
    "Boots a PC, or with board virt an Arm board, and returns what it prints on its console. system: debian (Debian's kernel with a busybox shell and an agent for exec), embedded (a small guest with a prompt), files (kernel with initrd, firmware, disks or a CD, by paths in the named folders). memory is 256M (debian), 64M (embedded) or 512M unless given. Files stay as they are: what a guest writes to disks is kept in memory. A machine runs only while a call needs that, and stands still between calls, unless resume or forward has it run.",
    {
      name: nameArgument,
      ...BOOT_ARGUMENTS,
      record: z
        .boolean()
        .optional()
        .describe('records the run, for go_to and who_wrote; such a machine cannot be forked and has no checkpoint'),
      until: z
        .string()
        .min(1)
        .max(1000)
        .optional()
        .describe('text on the console that ends the boot; default the prompt (debian, embedded), or nothing is run'),
      timeoutSeconds: timeout,
    },
    async ({ name, record = false, until, timeoutSeconds: _seconds, ...request }, call) => {
      const machine = await machines.boot(name, await prepareBoot(request, sources), record)
      const prompt = until ?? PROMPTS[request.system]
      if (prompt !== undefined)
        await machine
          .running(call, JSON.stringify(prompt), () => machine.console.until(prompt, false))
          .catch(async (error: unknown) => {
            const printed = machine.console.last(2000)
            await machines.stop(machine.facts.name)
            throw withConsole(error, printed)
          })
      return text(describe(machine, machine.console.take(MOST_SHOWN)), { machine: machine.facts.name })
    },
    // Debian may have to be fetched first.
    { seconds: 300 },
  )
}

/** Tools that make, keep and end machines. */
export function machineTools(parts: BootSources & ToolParts): readonly Tool[] {
  const { machines } = parts
  const machineTool = machineToolOf(parts)
  return [
    bootTool(parts),
    tool(
      'list_machines',
      'Lists the machines: names, what they are, where they are.',
      {},
      async () => {
        const { all } = machines
        const lines = all.map((machine) => `${describe(machine)}, ${runText(machine)}`)
        return text(lines.length === 0 ? 'There is no machine: boot one.' : lines.join('\n'), {
          machines: all.map((machine) => ({
            ...machine.facts,
            state: machine.state,
            recorded: machine.isRecorded,
            running: machine.isRunning,
          })),
        })
      },
      { isReadOnly: true },
    ),
    machineTool(
      'fork',
      'Makes a copy of a machine that goes on from the same instant, in milliseconds; what one does the other does not see. The fork has its own disks in memory and no network. With record its run is recorded, for go_to and who_wrote.',
      { name: nameArgument, record: z.boolean().optional() },
      async (machine, { name, record = false }, call) => {
        const fork = await machines.fork(call, machine, name, record)
        return text(describe(fork), { machine: fork.facts.name })
      },
    ),
    machineTool(
      'checkpoint',
      'Keeps the instant at which a machine is, for reset; the one before is forgotten.',
      {},
      async (machine, _, call) => {
        await machine.checkpoint(call)
        return text(`${machine.facts.name} can be reset to this instant.`)
      },
    ),
    machineTool(
      'reset',
      'Puts a machine back to its checkpoint, within a millisecond, also one that has ended.',
      {},
      async (machine, _, call) => {
        const closed = await machine.reset(call)
        return text(`${describe(machine)}${closed.length === 0 ? '' : `\n${closedText(closed)}`}`)
      },
    ),
    machineTool(
      'run',
      'Runs a machine for some time of the host, and returns what it prints. Its time is its own: where it waits for a timer, none passes for the host.',
      { seconds: z.number().min(0.01).max(60) },
      async (machine, { seconds }, call) => {
        await machine.runFor(call, 1000 * seconds)
        return text(describe(machine, machine.console.take(MOST_SHOWN)))
      },
    ),
    tool(
      'stop',
      'Ends a machine and forgets it, like pulling its plug.',
      { machine: machineArgument },
      async ({ machine }) => {
        await machines.stop(machine)
        return text(`${machine} is gone.`)
      },
    ),
  ]
}

/** Describes a machine in a line, followed by its new output. */
export function describe(machine: ToolMachine, printed = ''): string {
  const { name, system, memoryBytes, parent } = machine.facts
  const more = [...(parent === undefined ? [] : [`forked from ${parent}`]), ...(machine.isRecorded ? ['recorded'] : [])]
  const line = `${name}: ${system}, ${mebibytes(memoryBytes)}${more.map((one) => `, ${one}`).join('')}, ${machine.state}`
  return printed === '' ? line : `${line}\n--- console\n${printed}`
}

/** Says whether a machine runs between calls. */
export const runText = ({ isRunning, forwards: { all } }: ToolMachine): string => {
  const count = all.length === 0 ? '' : `, with ${all.length} ${all.length === 1 ? 'forward' : 'forwards'}`
  return isRunning ? `runs in the background${count}` : 'stands still'
}

/** Adds the end of a console to an error. */
export function withConsole(error: unknown, printed: string): unknown {
  if (error instanceof Error && printed !== '') error.message += `\n--- console\n${lastOf(printed, 2000)}`
  return error
}
