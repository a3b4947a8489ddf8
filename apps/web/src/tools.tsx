// Tools that need no machine: nothing of one is loaded.
import { showPage } from './controls.tsx'
import { Disassembler } from './tools/disassembler.tsx'
import { Syndromes } from './tools/syndromes.tsx'

showPage(
  <>
    <header>
      <h1>
        <a href="./">retrap</a>
      </h1>
      <span class="soft">tools without a machine</span>
    </header>
    <main class="columns">
      <Disassembler />
      <Syndromes />
    </main>
  </>,
)
