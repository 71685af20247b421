"""The words of the injection rules, by class and language, as a table.

An entry is a word as it looks after `gateway.guards.folding.fold`; diacritics do not matter. `_` stands for a space,
but not in what begins with `<`, `[` or `=`; a star at the end for any further letters, a `^` in front for the start of
a line. A word stands alone in a text, except
in scripts that do not part words by spaces.
"""

from collections.abc import Mapping

from gateway.guards.injection_words_claims import CLAIMS
from gateway.guards.injection_words_roles import ASIDES, ROLES

WORDS: Mapping[str, str] = {
    # To set instructions aside.
    "OVERRIDE": """
        ignore ignoring disregard disregarding forget forgetting overlook override overriding overrule overwrite
        bypass
        pay_no_attention_to pay_no_heed_to do_not_pay_attention_to don't_pay_attention_to set_aside discard throw_out
        nullify unlearn dismiss ignorer wipe ignoriere ignorier ignorieren vergiss vergesst vergessen missachte
        missachten verwirf verwerfen uberschreibe beachte_nicht lass_alle ignorez ignores oublie oubliez oublier
        neglige
        negligez ne_tiens_pas_compte ne_tenez_pas_compte fais_abstraction faites_abstraction ignora ignorad ignoren
        olvida olvide olviden olvidad olvidate olvidese omite descarta haz_caso_omiso haga_caso_omiso hagan_caso_omiso
        no_hagas_caso pasa_por_alto anula ignori dimentica dimentichi dimenticate dimenticati scorda scordati trascura
        tralascia non_considerare non_tenere_conto ignorem esqueca esquece esquecam desconsidere desconsidera despreze
        nao_considere negeer vergeet zignoruj ignoruj zapomnij 忽略 忽视 忽視 无视 無視 忘记 忘記 忘掉 不要理会 不要理會
        不要管 不用管 抛弃 跳过 игнорируи игнорируите игнорировать игнорируя проигнорируи проигнорируите проигнорировать
        забудь забудьте забыть отбрось отбросьте не_обращаи_внимания не_обращаите_внимания не_учитываи отмени 無視して
        忘れて 무시 잊어 تجاهل انس unut unutun yok_say goz_ardi_et अनदेखा abandon zaboravi zanemari ignoriraj zapomen
        ignorera glom glem olvidar ignorar dimenticare ignorare esquecer
    """,
    # What came before, or stands above.
    "PRIOR": """
        previous previously prior above earlier preceding initial original past former foregoing aforementioned
        previous/above pre-existing preprogrammed default so_far up_to_now hitherto vorherige vorherigen vorheriger
        vorige vorigen bisherige bisherigen obige obigen obenstehende obenstehenden fruhere fruheren vorangegangene
        vorangegangenen vorangehenden ursprungliche ursprunglichen zuvor davor bisher anfanglichen precedente
        precedentes precedent precedents anterieure anterieures anterieur anterieurs ci-dessus initiales prealables
        plus_haut avant anterior anteriores previa previas previo previos de_arriba iniciales originales hasta_ahora
        precedenti anteriori di_sopra qui_sopra iniziali prima acima iniciais originais ate_agora eerdere bovenstaande
        poprzednie powyzsze wczesniejsze 之前 以上 前面 先前 上述 上面 此前 早先 原来 原先 先の 以前 前の 上記 이전 위의
        السابقة onceki पिछले предыдущие предыдущих предыдущую прошлые прежние прежних вышеизложенные вышеуказанные
        вышеприведенные выше ранее до_этого первоначальные исходные prethodne predchozi tidigare tidligere before
        existing vorher antes eben_gesagte you_got_before beforehand
    """,
    "ALL": """
        all any every everything anything whatever the_entire alle alles sammtliche samtliche tout toutes tous todas
        todo todos tutte tutti tutto tudo qualquer cualquier 所有 一切 全部 任何 все всё всех любые すべて 全て 모든
        جميع tum sve vsechny alla
    """,
    "YOUR": """
        your yours you ur deine deinen deiner ihre ihren dir euch tes vos votre ton tus sus tue tuoi vostre sue suas
        teus seus ti te 你的 您的 你 твои твоих ваши ваших свои あなたの 당신의 dein ihr ihres deines deinem
        notre_systeme
    """,
    # What a model was told to do.
    "INSTR": """
        instruction instructions instructional directive directives directions guideline guidelines rule rules prompt
        prompts command commands programming constraint constraints restrictions policy policies protocols guardrails
        safeguards system_message training system_prompt guidance instructs instrucitons instuctions
        iunstructions intructions instrctions insructions instructons intstructions
        instrutions instructionss instructios anweisung
        anweisungen instruktion instruktionen regel regeln vorgabe vorgaben befehl befehle richtlinien anordnungen
        aufgaben aufforderungen consigne consignes regles regle instruccion instrucciones reglas directrices
        indicaciones ordenes directivas mandatos istruzione istruzioni regole direttive indicazioni comandi instrucao
        instrucoes regras diretrizes orientacoes comandos instructies regels instrukcje polecenia zasady 指令 指示 规则
        規則 说明 提示 提示词 命令 设定 要求 限制 ルール 지시 지침 명령 규칙 التعليمات talimat talimatlari निर्देशों
        инструкции инструкцию инструкция указания указаниям правила правил команды распоряжения промпт ограничения
        orders instrukcije pokyny instruktioner pravila
    """,
    # What may be said for instructions, and for much else.
    "TEXT": """
        text words everything content contents message messages context conversation sentence sentences
        paragraph stuff
        information inputs anything document documents said discussed told nonsense tasks task assignment assignments
        questions requests kontext gesagte texte contexte texto contexto testo contesto 内容 文字 对话 上下文 文本 текст
        контекст сказанное
    """,
    "REVEAL": """
        reveal show print output repeat display tell give disclose leak dump expose share recite write_out write_down
        spit_out return echo reproduce list copy paste type_out provide summarize summarise state quote print_out
        describe translate read_back spell_out transcribe divulge explain restate paraphrase encode extract recall see
        know read get view write send rephrase reformulate repost zeige zeig nenne gib wiederhole verrate drucke
        ausgeben offenbare sag sage montre
        montrez affiche affichez repete repetez donne donnez revele revelez imprime dis-moi dites-moi ecris muestra
        muestrame revela revelame repite dime dame ensename escribe muestreme comparte mostra mostrami rivela rivelami
        ripeti stampa dimmi dammi scrivi mostre repita imprima diga mostre-me escreva 显示 展示 输出 打印 告诉 重复 透露
        泄露 列出 复述 说出 公开 给我 表示して 教えて 알려 보여 出力 покажи покажите выведи выведите повтори повторите
        раскрои расскажи напиши назови процитируи
    """,
    "WHAT": """
        what what_is what's whats which was_ist was_sind wie_lautet wie_lauten welche quel quels quelles quelle cual
        cuales que_instrucciones qual quali quais 什么是 是什么 有哪些 什么 какои какие каков
    """,
    "SYSTEM": """
        system initial hidden secret internal original underlying developer confidential pre-prompt preprompt
        beginning
        starting pre-defined backend core base system-prompt systemanweisung initialen versteckten systeme sistema
        systema inicial iniciales oculto ocultas iniziale iniziali nascosto internas 系统 隐藏 初始 内部 システム 시스템
        системныи системные системное системного скрытые секретные внутренние
    """,
    "PROMPT": """
        prompt prompts instruction instructions message messages directive directives guidelines rules configuration
        settings programming anweisung anweisungen nachricht consigne consignes instrucciones mensaje istruzioni
        messaggio instrucoes mensagem 提示 提示词 指令 设定 プロンプト 프롬프트 промпт промт инструкции инструкция
        сообщение указания
    """,
    "SYSTEMPROMPT": """
        systemprompt system-prompt system-prompts systemprompts systemanweisung systemanweisungen systemnachricht
        system_prompt system_prompts system_message system_instructions system_instruction initial_prompt
        initial_instructions hidden_prompt hidden_instructions secret_prompt developer_message developer_prompt
        secret_instructions original_instructions original_prompt pre-prompt preprompt internal_instructions
        prompt_systeme invite_systeme instructions_systeme prompt_del_sistema prompt_de_sistema
        instrucciones_del_sistema mensaje_del_sistema prompt_do_sistema instrucoes_do_sistema prompt_di_sistema
        istruzioni_di_sistema 系统提示 系统提示词 系统指令 系统消息 初始指令 初始提示 システムプロンプト 시스템_프롬프트
        системныи_промпт системныи_промт системные_инструкции системную_инструкцию системное_сообщение
        confidential_instructions internal_prompt meta_prompt metaprompt base_prompt starting_prompt
    """,
    "STRONGREVEAL": """
        reveal leak dump disclose expose divulge spit_out recite regurgitate repeat print output verbatim
        word_for_word
        verrate offenbare wortlich wiederhole revele revelez repete mot_pour_mot affiche revela repite
        palabra_por_palabra textualmente literalmente rivela ripeti parola_per_parola repita palavra_por_palavra 泄露
        透露 逐字 原文 一字不差 раскрои дословно слово_в_слово выведи покажи 完整
    """,
    "REPEAT": """
        repeat print output recite echo reproduce wiederhole wiederholen repete repetez repite ripeti repita 重复 复述
        输出 повтори повторите выведи write_out spell_out type_out regurgitate
    """,
    "ABOVE": """
        above before_this preceding_this prior_to_this before_my_message so_far previously oberhalb oben ci-dessus
        arriba sopra acima 上面 以上 выше earlier before_this_line in_this_conversation_so_far preceding
    """,
    "BEGINNING": """
        starting_with starting_from beginning_with start_with starts_with beginning_from begin_with from_the_beginning
        from_the_start from_the_top the_first_line first_sentence
    """,
    "YOUWERE": """
        were_you_given were_you_told were_you_instructed you_were_given you_were_told you_were_instructed
        you_are_instructed are_you_given you_have_been_given you_received have_you_been_given told_you_to
        instructed_you
        your_developer_told
    """,
    "INSTEAD": """
        instead rather_than stattdessen au_lieu en_lugar en_su_lugar en_vez invece em_vez 而是 вместо вместо_этого then
        and_then and_instead just_say only_say simply_say and_say and_tell and_print and_output and_write now_say
        and_reply und_sag und_sage und_gib et_dis et_donne y_di y_dime y_dame e_dimmi e_diga 然后 и_скажи и_выведи
        and_do and_just and_respond and_answer and_follow and_translate and_give and_show and_reveal and_start
        und_beantworte und_schreibe et_reponds et_ecris y_responde y_escribe e_scrivi e_responda и_ответь и_напиши
    """,
    "OVERRIDELAST": """
        無視して 忘れて 무시 잊어 unut unutun yok_say goz_ardi_et अनदेखा ignorieren 忽略 忽視 无视 無視
    """,
    "DO": """
        write say print output tell answer show respond reply just translate start do repeat act now give only schreib
        schreibe sag sage gib antworte jetzt ecris dis reponds donne escribe di responde dime scrivi rispondi dimmi
        escreva diga responda 写 说 输出 回答 напиши скажи ответь выведи теперь
    """,
    "CHANGE": """
        change replace update modify rewrite reset erase delete clear andere ersetze losche change_tes cambia
        reemplaza
        borra sostituisci mude substitua 更改 修改 删除 清除 измени замени удали сотри drop wipe dump ditch
    """,
    "VOID": """
        irrelevant void invalid obsolete no_longer_valid no_longer_apply no_longer_applies cancelled canceled
        superseded
        no_longer_relevant null_and_void do_not_apply don't_apply overridden replaced_by been_replaced ungultig
        unwichtig aufgehoben annulees caduques anuladas annullate 无效 作废 отменены недеиствительны
    """,
    "INFO": """
        information tasks task assignments assignment context conversation text content contents words told discussed
        said nonsense everything kontext informationen aufgaben gesagte contexte informations contexto informacion
        contesto informazioni informacoes 内容 文字 对话 上下文 信息 текст контекст информацию
    """,
    "NEWTASK": """
        new_task new_tasks new_instruction new_instructions new_objective new_rules new_role new_mission new_directive
        new_directives new_goal new_prompt real_task real_instructions real_goal actual_task actual_instructions
        updated_instructions revised_instructions neue_aufgabe neue_aufgaben neuen_aufgabe neue_anweisung
        neue_anweisungen nouvelle_tache nouvelles_taches nouvelles_instructions nouvelle_consigne nueva_tarea
        nuevas_tareas nuevas_instrucciones nueva_instruccion nuovo_compito nuovi_compiti nuove_istruzioni nova_tarefa
        novas_tarefas novas_instrucoes 新任务 新的任务 新指令 新的指令 новая_задача новые_инструкции новое_задание
    """,
    "NOTFOLLOW": """
        not_follow don't_follow dont_follow never_follow stop_following quit_following no_longer_follow not_obey
        don't_obey stop_obeying no_longer_obey never_obey not_adhere don't_adhere no_longer_adhere not_bound_by
        no_longer_bound_by not_bound_to no_longer_bound_to not_restricted_by no_longer_restricted_by
        not_constrained_by
        no_longer_constrained_by not_limited_by no_longer_limited_by not_governed_by no_longer_governed_by
        not_subject_to no_longer_subject_to not_comply_with don't_comply_with stop_complying no_longer_comply
        not_respect stop_respecting not_listen_to don't_listen_to aren't_bound_by needn't_follow not_have_to_follow
        don't_have_to_follow folge_nicht befolge_nicht befolge_keine nicht_mehr_an ne_suis_pas ne_suis_plus
        ne_suivez_pas ne_suivez_plus ne_respecte_pas ne_respectez_pas no_sigas no_siga no_obedezcas no_respetes
        non_seguire non_seguire_piu non_rispettare nao_siga nao_sigas nao_obedeca 不要遵守 不要遵循 不再遵守 不用遵守
        无需遵守 不要服从 不必遵守 не_следуи не_следуите не_соблюдаи не_соблюдаите не_подчиняися не_выполняи
    """,
    "YOUKNOW": """
        everything_you_know all_you_know what_you_know everything_you_were_told what_you_were_told
        everything_you've_been_told what_you've_been_told everything_you_have_been_told everything_you_have_learned
        everything_you_learned everything_you've_learned alles_was_du_weisst alles_was_du_gelernt tout_ce_que_tu_sais
        tout_ce_que_vous_savez todo_lo_que_sabes todo_que_sabes todo_lo_que_te_han tutto_quello_che_sai
        tudo_o_que_sabe
        你知道的一切 всё_что_ты_знаешь всё,_что_ты_знаешь everything_that_you_know
    """,
    "ARENOW": """
        are_now are_now_to are_as_follows_now have_changed sind_jetzt sind_nun sont_maintenant son_ahora ahora_son
        sono_ora sao_agora 现在是 теперь
    """,
    "EVERYTHING": """
        everything alles tout_ce_qui tout_ce_que todo_lo_que todo_lo tutto_quello tutto_cio tudo_o_que tudo tutto 一切
        所有内容 всё все_что all_of_the all_the_text all_text whatever anything_that all_that all_the_words
    """,
    "OWNPROMPT": """
        prompt prompts instruction instructions guidelines directives programming pre-prompt rules_you_were anweisung
        anweisungen vorgaben instruktionen consigne consignes instruccion instrucciones istruzioni instrucoes 指令
        提示词 提示 инструкции инструкция промпт промт プロンプト 指示 프롬프트 지침
    """,
    "THEPROMPT": """
        the_system_prompt the_system_message the_initial_prompt the_initial_instructions the_hidden_prompt
        the_hidden_instructions the_secret_instructions the_original_instructions the_original_prompt the_prompt_above
        the_instructions_above the_system_instructions the_developer_message the_developer_instructions the_pre-prompt
        the_secret_prompt the_full_prompt the_prompt_verbatim the_exact_prompt the_entire_prompt
        the_internal_instructions den_system-prompt den_systemprompt die_systemanweisung die_systemanweisungen
        den_system_prompt le_prompt_systeme le_system_prompt el_prompt_del_sistema el_prompt_de_sistema
        el_system_prompt
        las_instrucciones_del_sistema il_prompt_di_sistema il_system_prompt le_istruzioni_di_sistema
        o_prompt_do_sistema
        o_system_prompt 系统提示词 as_instrucoes_do_sistema 系统提示 系统指令 初始指令 初始提示 システムプロンプト
        시스템_프롬프트 системныи_промпт системныи_промт системные_инструкции системную_инструкцию системное_сообщение
    """,
    "YOUAREQUOTED": """
        'you_are "you_are you_are_chatgpt you_are_an_ai `you_are you_are_a_helpful
    """,
    **CLAIMS,
    **ROLES,
    **ASIDES,
}
