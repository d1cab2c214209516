import sys; sys.path.insert(0,'/work/main/tests')
from pathlib import Path
from typer.testing import CliRunner
from lowres.cli import app
from test_docs_commands import own_data
import shutil

def go(*words):
    before=sorted(Path('.').rglob('*'))
    r=CliRunner().invoke(app, list(map(str,words)))
    new=[str(p) for p in sorted(Path('.').rglob('*')) if p not in before]
    print('\n$', ' '.join(str(w)[-60:] for w in words), '->', r.exit_code); print('   OUT', r.stdout[-300:]); print('   ERR', r.stderr[-900:]); print('   NEW', new[:8])

def test_probe(tmp_path, monkeypatch, tiny_unigram_base, tiny_base):
    own_data(tmp_path); monkeypatch.chdir(tmp_path)
    Path('s.yaml').write_text(f"""name: s
base: {{name: {tiny_unigram_base}, quantization: none}}
languages: {{source: eng_Latn, targets: tzm_Tfng}}
data: {{files: 'mydata/{{lang}}/{{split}}.tsv'}}
task: {{name: classification}}
text: {{files: 'text/{{lang}}.txt', translations: text/eng_Latn.txt}}
tokenizer: {{extend: {{pieces: 10}}}}
adapt: {{steps: 2}}
train: {{steps: 2}}
""")
    Path('short.txt').write_text('a\nb\n')
    r=lambda *a: go('run','s.yaml',*a)
    go('validate','s.yaml','text.files=nowhere.txt')
    r('text.files=nowhere.txt'); r('text.files=text/eng_Latn.txt'); r('text.translations=short.txt'); r('tokenizer.extend.pieces=90000')
    r('tokenizer.extend.prebuilt=xlmr-tzm','tokenizer.extend.pieces=auto'); r('tokenizer.extend.prebuilt=xlmr-tzm_Tfng'); r('adapt.objective=mlm')
    r('tokenizer.extend.keep=nowhere.txt'); r('languages.shots=100'); r('text.languages=[bam_Latn]'); r('text={files: {bam_Latn: a}, translations: b}')
    r('tokenizer.extend.init=focus', 'adapt.batch=4000')
    go('tokenizer','extend','--base',tiny_base,'--text','text/tzm_Tfng.txt','--out','p')
