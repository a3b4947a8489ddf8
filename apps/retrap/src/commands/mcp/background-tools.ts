import { z } from 'zod'
import { closedText } from './forwards.ts'
import { machineArgument, type ToolParts, machineToolOf, text, type Tool, tool } from './tool.ts'
import { ToolError } from './tool-error.ts'

/** Most seconds that a machine may run in the background. */
const MOST_SECONDS = 86_400
const RESUME_SECONDS = 600
const FORWARD_SECONDS = 3600

const portArgument = z.int().min(1).max(0xffff)
const lasting = (usual: number): z.ZodOptional<z.ZodNumber> =>
  z.number().min(1).max(MOST_SECONDS).optional().describe(`host time after which it ends by itself; default ${usual}`)

/** Tools that let machines run between calls, and connect to them. */
export function backgroundTools(parts: ToolParts): readonly Tool[] {
  const { machines } = parts
  const machineTool = machineToolOf(parts)
  return [
    machineTool(
      'resume',
      "Lets a machine run in the background, between calls as well, its time at most as fast as the host's. Calls that need it to stand still (fork, checkpoint, memory and others) stop it for that moment. Not for recorded machines.",
      { seconds: lasting(RESUME_SECONDS) },
      async (machine, { seconds = RESUME_SECONDS }, call) => {
        await machine.resume(call, seconds)
        return text(`${machine.facts.name} runs for ${seconds} s, unless pause ends that.`)
      },
    ),
    machineTool(
      'pause',
      'Has a machine stand still between calls again, and closes its forwards.',
      {},
      async (machine, _, call) => {
        const closed = await machine.pause(call)
        return text(closedText(closed), { closed })
      },
    ),
    machineTool(
      'forward',
      "Makes a port of the host's 127.0.0.1 lead to a TCP port of the guest, by its agent, without a network card. The machine runs in the background while it is open.",
      {
        port: portArgument.describe('of the guest'),
        hostPort: portArgument.optional().describe('default: one that is free'),
        seconds: lasting(FORWARD_SECONDS),
      },
      async (machine, { port: guestPort, hostPort, seconds = FORWARD_SECONDS }, call) => {
        const { port, trouble } = await machine.forward(call, guestPort, hostPort, seconds)
        const line = `127.0.0.1:${port} leads to port ${guestPort} of ${machine.facts.name}, for ${seconds} s.`
        const early = trouble === undefined ? '' : `\nNothing accepts connections there yet: ${trouble}`
        return text(`${line}${early}`, { address: '127.0.0.1', port, guestPort, ...(early !== '' && { trouble }) })
      },
    ),
    tool(
      'list_forwards',
      'Lists the forwards of all machines, and why their last connections failed.',
      {},
      async () => {
        const forwards = machines.all.flatMap(({ facts, forwards: { all } }) =>
          all.map((one) => ({ machine: facts.name, ...one })),
        )
        const lines = forwards.map(
          ({ machine, port, guestPort, trouble }) =>
            `127.0.0.1:${port} leads to port ${guestPort} of ${machine}${trouble === undefined ? '' : `; a connection failed: ${trouble}`}`,
        )
        return text(lines.length === 0 ? 'There is no forward.' : lines.join('\n'), { forwards })
      },
      { isReadOnly: true },
    ),
    tool(
      'close_forward',
      'Closes a forward, and breaks its connections off. The machine stands still without others, unless resume was called.',
      { machine: machineArgument, hostPort: portArgument },
      async ({ machine, hostPort }) => {
        const { forwards } = machines.get(machine)
        if (forwards.close(hostPort)) return text(closedText([hostPort]))
        const ports = forwards.all.map(({ port }) => port).join(', ')
        throw new ToolError(
          'ERR_ARGUMENT',
          `${machine} has no forward from port ${hostPort}; ${ports === '' ? 'it has none' : `there are ${ports}`}`,
        )
      },
    ),
  ]
}
