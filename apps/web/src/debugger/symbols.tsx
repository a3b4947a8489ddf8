import type { Machine } from '@retrap/web'
import { useEffect, useState } from 'preact/hooks'
import { FileButton } from '../controls.tsx'
import { TextField } from '../fields.tsx'
import { useRead } from '../inspector/view.ts'
import type { PanelProps } from '../tabs.tsx'

/** Returns symbols of addresses at the debugger's instant; null for an unknown address. */
export function useNames(machine: Machine, addresses: readonly bigint[]): readonly (string | null)[] {
  const [names, setNames] = useState<readonly (string | null)[]>([])
  const find = async () => (addresses.length === 0 ? [] : machine.debugger.names(addresses))
  useRead(find, setNames, [machine, addresses.join()])
  return names
}

interface SymbolFieldProps {
  readonly machine: Machine
  readonly label: string
  readonly value: string
  readonly placeholder?: string
  readonly change: (text: string) => void
}

/** A field for an address or a symbol, which suggests symbols with the typed prefix. */
export function SymbolField({ machine, label, value, placeholder, change }: SymbolFieldProps) {
  const [offered, setOffered] = useState<readonly string[]>([])
  const id = `symbols-of-${label.replaceAll(/\W/g, '-')}`
  useEffect(() => {
    if (!/^[a-z_]{3}/i.test(value)) return setOffered([])
    void machine.debugger.namesLike(value).then(setOffered, () => setOffered([]))
  }, [value])
  return (
    <>
      <TextField list={id} autocomplete="off" spellcheck={false} {...{ label, placeholder, value, change }} />
      <datalist id={id}>
        {offered.map((name) => (
          <option key={name} value={name} />
        ))}
      </datalist>
    </>
  )
}

interface SymbolsFileProps extends Pick<PanelProps, 'machine' | 'attempt'> {
  readonly say: (note: string) => void
}

/** Takes a file of symbols: the kernel in memory has its own. */
export function SymbolsFile({ machine, say, attempt }: SymbolsFileProps) {
  return (
    <FileButton
      take={(file) => attempt(async () => say(`${file.name}: ${await machine.debugger.loadSymbols(file)} symbols.`))}
    >
      Symbols from a file
    </FileButton>
  )
}
