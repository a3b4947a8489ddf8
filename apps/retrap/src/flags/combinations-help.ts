import { type MachineTrait, REFUSALS } from '@retrap/machine'

/** Command-line options for traits of machines; other traits are named like their option. */
const WORDS: Partial<Readonly<Record<MachineTrait, string>>> = {
  pc: '--machine pc',
  virt: '--arch arm64',
  xen: '--hypervisor xen',
  smm: 'smm=on',
  deferred: '--devices async',
  worker: '--devices worker',
  controllers: '--controllers worker',
  server: '--device-server or a device in a process',
  shared: 'a device in a Worker',
  threads: '--smp threads',
  deterministic: '--deterministic',
  recorded: '--record',
  replayed: '--replay',
  plain: 'a run that is not recorded',
  'deterministic-model': 'a deterministic device of your own',
  'usb-device': 'a USB device of your own',
}

/** Returns the combinations that machines refuse, for `--help`: the action, the traits, and the reason. */
export function combinationsHelp(): string {
  const wordOf = (trait: MachineTrait): string => WORDS[trait] ?? trait
  // No option asks for real time or virtio-mmio transports beside a recording, which derives time from instructions.
  const shown = REFUSALS.filter(({ when }) => !when.flat().some((trait) => trait === 'real' || trait === 'virtio-mmio'))
  const wordsOf = (some: readonly MachineTrait[]): string => some.map(wordOf).join(' or ')
  const lines = shown.flatMap(({ verbs, when, plugged, why }) => [
    `  ${verbs.join(', ')}: ${[...(plugged ? [plugged] : []), ...when].map(wordsOf).join(' with ')}`,
    `      ${why}`,
  ])
  return ['Combinations that are refused, and why:', ...lines].join('\n')
}
