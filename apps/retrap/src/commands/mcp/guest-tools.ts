import { Buffer } from 'node:buffer'
import { setTimeout as sleep } from 'node:timers/promises'
import type { KeyName } from '@retrap/display'
import { GuestError } from '@retrap/guest'
import { printable } from '@retrap/test'
import type { CallToolResult } from '@modelcontextprotocol/server'
import { z } from 'zod'
import { lastOf } from './console-log.ts'
import { describe, MOST_SHOWN, withConsole } from './machine-tools.ts'
import { machineArgument, type ToolParts, machineToolOf, text, type Tool, tool } from './tool.ts'
import { ToolError } from './tool-error.ts'
import type { ToolMachine } from './tool-machine.ts'

/** Most bytes of a command's output, and of its input. */
const MOST_OUTPUT = 1 << 20
const MOST_INPUT = 1 << 20
/** A picture of more bytes is not sent. */
const MOST_PICTURE = 4 << 20

export function guestTools(parts: ToolParts): readonly Tool[] {
  const machineTool = machineToolOf(parts)
  return [
    machineTool(
      'exec',
      'Runs a command in the guest by its agent, and returns exit code, stdout and stderr. The command is text for sh. Needs the agent: debian has it; elsewhere boot with addAgent.',
      {
        command: z.string().max(MOST_INPUT),
        stdin: z.string().max(MOST_INPUT).optional(),
        maxOutputBytes: z
          .int()
          .min(1)
          .max(MOST_OUTPUT)
          .optional()
          .describe('the command ends beyond it; default 65536'),
      },
      async (machine, { command, stdin, maxOutputBytes = 65_536 }, call) => {
        try {
          const { exitCode, signal, stdout, stderr } = await machine.exec(call, command, stdin, maxOutputBytes)
          const [out, error] = [printable(stdout), printable(stderr)]
          return text(
            `exit code ${exitCode}${signal === null ? '' : ` (${signal})`}${block('stdout', out)}${block('stderr', error)}`,
            { exitCode, signal, stdout: out, stderr: error },
          )
        } catch (error) {
          if (!(error instanceof GuestError)) throw withConsole(error, machine.console.last(500))
          const { stdout = new Uint8Array(), stderr = new Uint8Array() } = error.output ?? {}
          const printed = (bytes: Uint8Array): string => lastOf(printable(new TextDecoder().decode(bytes)), 4000)
          throw new ToolError(
            'ERR_GUEST',
            error.message,
            block('stdout', printed(stdout)) + block('stderr', printed(stderr)),
          )
        }
      },
    ),
    machineTool(
      'type',
      'Types text on the serial console (end a line with \\n), runs the machine, and returns what it prints. With until it runs until that text is printed, else for a second.',
      { text: z.string().min(1).max(8192), until: z.string().min(1).max(1000).optional() },
      async (machine, { text: typed, until }, call) => {
        const wait = until === undefined ? () => sleep(1000) : () => machine.console.until(until, true)
        const typing = (): Promise<void> => {
          const waited = wait()
          machine.type(typed)
          return waited
        }
        return printed(machine, machine.running(call, JSON.stringify(until ?? 'a second'), typing))
      },
    ),
    machineTool(
      'wait_for',
      'Runs the machine until a text is on its console that was not read yet, and returns what it prints.',
      { text: z.string().min(1).max(1000) },
      async (machine, { text: expected }, call) =>
        printed(
          machine,
          machine.running(call, JSON.stringify(expected), () => machine.console.until(expected, false)),
        ),
    ),
    tool(
      'console',
      'Returns the end of what a guest has printed on its serial console, read or not.',
      { machine: machineArgument, characters: z.int().min(1).max(MOST_SHOWN).optional().describe('default 8192') },
      async ({ machine, characters = 8192 }) => {
        const found = parts.machines.get(machine)
        return text(describe(found, found.console.last(characters)))
      },
      { isReadOnly: true },
    ),
    machineTool(
      'press_keys',
      'Presses keys of the keyboard, which is not the serial console: together, such as ControlLeft, AltLeft, Delete, or a text one by one. Then it runs for half a second.',
      {
        keys: z
          .array(z.string().max(32))
          .min(1)
          .max(8)
          .optional()
          .describe('names of KeyboardEvent.code: KeyA, Enter, F2, ArrowUp'),
        text: z.string().min(1).max(1000).optional(),
      },
      async (machine, { keys, text: typed }, call) => {
        if ((keys === undefined) === (typed === undefined))
          throw new ToolError('ERR_ARGUMENT', 'give either keys or text')
        await machine.press(call, (keyboard) =>
          typed === undefined ? keyboard.press(...(keys as readonly KeyName[])) : keyboard.type(typed),
        )
        return text(describe(machine))
      },
    ),
    machineTool(
      'screenshot',
      'Returns the picture of the graphics card.',
      {},
      async (machine, _, call) => {
        const picture = await machine.screenshot(call)
        if (picture === undefined)
          throw new ToolError(
            'ERR_STATE',
            `${machine.facts.name} shows nothing: it has no graphics card (boot with display std), or has not set a mode`,
          )
        if (picture.length > MOST_PICTURE)
          throw new ToolError('ERR_LIMIT', `the picture has ${picture.length} bytes, more than ${MOST_PICTURE}`)
        return { content: [{ type: 'image', mimeType: 'image/png', data: Buffer.from(picture).toString('base64') }] }
      },
      { isReadOnly: true },
    ),
  ]
}

const block = (name: string, content: string): string => (content === '' ? '' : `\n--- ${name}\n${content}`)

/** Waits for a run of a machine. @returns the console output since the last call */
async function printed(found: ToolMachine, run: Promise<unknown>): Promise<CallToolResult> {
  await run.catch((error: unknown) => {
    throw withConsole(error, found.console.take(2000))
  })
  return text(describe(found, found.console.take(MOST_SHOWN)))
}
